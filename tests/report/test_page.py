"""The page: as text, and in a real browser."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi.bench.rows import HIGH_PERFORMANCE, MODES
from ocrhpi.report.bench_figures import figures_of
from ocrhpi.report.conditions import conditions_of
from ocrhpi.report.page import as_page
from ocrhpi.report.plot import HEIGHT, WIDTH, plot_of
from tests.report.samples import HOSTILE, gpu_row, result, row, run_of_a_machine, unmeasured

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ocrhpi.bench.rows import BenchRow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")


def page(rows: Sequence[BenchRow]) -> str:
    models = figures_of(rows)
    return as_page(models, conditions_of(models))


def hostile() -> list[BenchRow]:
    """Rows whose every text would like to be markup."""
    effective = {HOSTILE: {HOSTILE: HOSTILE}, "precision": HOSTILE, "notes": [HOSTILE]}
    modes = (result("plain", 9.0), result("high-performance", 3.0, effective=effective, reason=HOSTILE))
    facts = {"cpu": HOSTILE, "os": HOSTILE}
    measured = row(HOSTILE, modes=modes, unstable=HOSTILE, machine=facts, versions={HOSTILE: HOSTILE}, device=HOSTILE)
    return [measured, unmeasured(f"{HOSTILE}2", HOSTILE)]


class TestText:
    def test_nothing_is_loaded(self) -> None:
        text = page(run_of_a_machine())
        assert not re.search(r"(?:src|href)=[\"'](?!#|data:,)|url\(|@import|fetch\(", text)
        assert "default-src 'none'" in text

    def test_every_model_has_its_detail(self) -> None:
        text = page(run_of_a_machine())
        for one in run_of_a_machine():
            assert re.search(rf"<summary>{one.model} ", text)
        for part in (
            "its weights are not here",
            "All candidates of its tuning",
            "tensorrt is not installed",
            "settings.hint.streams",
        ):
            assert part in text

    def test_what_is_gained_and_the_plots_come_first_and_the_cautions_last(self) -> None:
        text = page(run_of_a_machine())
        places = [text.index(f'id="{part}"') for part in ("gain", "bars", "plot", "models", "model-0", "cautions")]
        assert places == sorted(places)
        assert text.count('class="notes"') == 1

    def test_every_mode_has_a_colour(self) -> None:
        style = page(run_of_a_machine())
        for mode in MODES:
            assert re.search(rf"\.mark-{mode}\b", style)
            assert mode == HIGH_PERFORMANCE or re.search(rf"\.kind-{mode}\b", style)

    def test_published_accuracy_is_marked(self) -> None:
        text = page([row("PP-OCRv4_mobile_rec"), row("own")])
        assert "83.28 (published)" in text
        assert "(published)" not in page([row("own")])

    def test_noise_is_no_difference(self) -> None:
        assert "no difference beyond noise (0.99 to 1.02)" in page(run_of_a_machine())

    def test_everything_is_escaped(self) -> None:
        text = page(hostile())
        assert "<script>throw" not in text
        assert text.count("<script") == 1
        assert html.escape(HOSTILE, quote=False).split("\x1b")[0].replace('"', "&#34;").replace("'", "&#39;") in text

    @pytest.mark.parametrize(
        "rows",
        [
            [unmeasured("m", "no weights")],
            [row("m", modes=(result("plain", 9.0),), tuning=None)],
            [row("m", modes=(result("plain", 9.0, samples=()), result("high-performance", 3.0, samples=())))],
            [row("m", modes=(result("high-performance", 3.0, gate=None, effective=None),))],
            [row("a", size_mib=None, load=None), gpu_row("PP-OCRv4_mobile_rec")],
        ],
    )
    def test_what_is_missing_leaves_the_rest(self, rows: list[BenchRow]) -> None:
        text = page(rows)
        assert "None" not in text
        for one in rows:
            assert f"<summary>{one.model} " in text


class TestPlot:
    def test_everything_is_inside(self) -> None:
        plot = plot_of(figures_of([row(f"m{place}", 20.0 + place, 10.0, 5.0 + place) for place in range(20)]))
        assert plot is not None
        assert all(0 < mark.x < WIDTH and 0 < mark.y < HEIGHT for path in plot.paths for mark in path)
        assert len(plot.x.ticks) >= 3
        assert 0 < len(plot.labels) <= 20

    def test_less_time_is_left_and_more_lines_are_up(self) -> None:
        plot = plot_of(figures_of([row("m")]))
        assert plot is not None
        plain, onednn, high = plot.paths[0]
        assert high.x < onednn.x < plain.x
        assert high.y < onednn.y < plain.y
        assert high.title.startswith("m, high-performance: ")

    def test_one_mark_has_ticks_around_it(self) -> None:
        plot = plot_of(figures_of([row("m", modes=(result("plain", 7.3),))]))
        assert plot is not None
        assert len(plot.x.ticks) >= 3
        assert plot.labels == []

    def test_nothing_to_draw(self) -> None:
        assert plot_of(figures_of([unmeasured("m", "no weights")])) is None


DRIVER = """
const frame = document.getElementById("frame");
frame.addEventListener("load", () => {
  const page = frame.contentDocument;
  const names = () => [...page.querySelectorAll("#models tbody th a")].map((one) => one.textContent);
  const headers = [...page.querySelectorAll("#headers th")];
  const found = { first: names(), scripted: page.documentElement.className, sorts: [], inner: {}, over: [] };
  headers.forEach((header) => {
    const button = header.querySelector("button");
    const sort = { title: button.textContent.trim(), tabIndex: button.tabIndex, presses: [] };
    for (let press = 0; press < 2; press += 1) {
      button.click();
      const marked = headers.filter((one) => one.hasAttribute("aria-sort"));
      const column = headers.indexOf(header);
      const cells = [...page.querySelectorAll("#models tbody tr")].map((one) => one.cells[column].dataset.sort);
      const bars = [...page.querySelectorAll("#bars > li > span")].map((one) => one.textContent);
      const direction = header.getAttribute("aria-sort");
      sort.presses.push({ direction, cells, names: names(), bars, marked: marked.length });
    }
    found.sorts.push(sort);
  });
  const mark = page.querySelector("#plot [data-title]");
  mark.dispatchEvent(new Event("click"));
  found.note = [mark.dataset.title, page.getElementById("plot-note").textContent];
  const choice = page.getElementById("gain-model");
  const shown = () => [...page.querySelectorAll("[data-gain]")].filter((one) => one.offsetParent);
  const gains = () => shown().map((one) => one.dataset.gain);
  found.gains = [[choice.value, gains()]];
  choice.selectedIndex = 1;
  choice.dispatchEvent(new Event("change"));
  found.gains.push([choice.value, gains()]);
  const over = (one) => one.scrollWidth - one.clientWidth;
  for (const width of [380, 800, 1280]) {
    frame.style.width = `${width}px`;
    found.inner[width] = frame.contentWindow.innerWidth;
    for (const open of [false, true]) {
      page.querySelectorAll("details").forEach((one) => { one.open = open; });
      found.over.push(over(page.documentElement), over(page.body));
    }
  }
  frame.style.width = "380px";
  found.cards = over(page.querySelector(".scroll"));
  const texts = [...page.querySelectorAll("p, td, th, dd, li, summary")].filter((one) => one.offsetParent);
  found.smallest = Math.min(...texts.map((one) => parseFloat(frame.contentWindow.getComputedStyle(one).fontSize)));
  document.getElementById("found").textContent = JSON.stringify(found);
});
"""


def browse(path: Path, profile: Path) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    options = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
        *("--enable-logging=stderr", "--virtual-time-budget=5000", "--window-size=1400,900", "--dump-dom"),
        f"--user-data-dir={profile}",
    ]
    command = [CHROMIUM, *options, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=True)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the browser says of the page, unchanged, in a frame as narrow as a phone and wider ones."""
    folder = tmp_path_factory.mktemp("browser")
    source = html.escape(page(run_of_a_machine()))
    frame = f'<iframe id="frame" style="width:380px;height:800px;border:0" srcdoc="{source}"></iframe>'
    driver = f'<!doctype html><meta charset="utf-8"><pre id="found"></pre><script>{DRIVER}</script>'
    outer = driver.replace("<script>", f"{frame}<script>")
    (folder / "outer.html").write_text(outer, "utf-8")
    shown = browse(folder / "outer.html", folder / "profile")
    text = re.search(r'<pre id="found">(.*?)</pre>', shown.stdout, re.DOTALL)
    assert text is not None, shown.stderr
    assert text[1], shown.stderr
    values: dict[str, Any] = json.loads(html.unescape(text[1]))
    return values


@needs_browser
@pytest.mark.parametrize("rows", [run_of_a_machine(), hostile()], ids=["usual", "hostile"])
def test_no_error_and_no_message(rows: list[BenchRow], tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(page(rows), "utf-8")
    shown = browse(tmp_path / "report.html", tmp_path / "profile")
    assert 'class="scripted"' in shown.stdout  # the script ran to its end, under the policy of the page
    assert not re.findall(r".*CONSOLE.*", shown.stderr)
    assert shown.stdout.count("<script") == 1


@needs_browser
def test_a_console_message_would_be_seen(tmp_path: Path) -> None:
    broken = page(run_of_a_machine()).replace(
        "</main>", '</main><script>alert(1)</script><img src="https://localhost/x">'
    )
    (tmp_path / "report.html").write_text(broken, "utf-8")
    errors = browse(tmp_path / "report.html", tmp_path / "profile").stderr
    assert len(re.findall(r"CONSOLE.*Content Security Policy", errors)) == 2


@needs_browser
def test_it_shows_every_model(found: dict[str, Any]) -> None:
    assert found["first"] == [model.name for model in figures_of(run_of_a_machine())]


@needs_browser
def test_every_column_sorts_both_ways(found: dict[str, Any]) -> None:
    assert len(found["sorts"]) == 14
    for sort in found["sorts"]:
        assert sort["tabIndex"] == 0
        first, second = sort["presses"]
        assert {first["direction"], second["direction"]} == {"ascending", "descending"}
        assert first["marked"] == second["marked"] == 1
        for press in (first, second):
            assert sorted(press["names"]) == sorted(found["first"])
            values = [value for value in press["cells"] if value]
            assert press["cells"][len(values) :] == [""] * (6 - len(values))  # what is missing stands last
            is_text = any(title in sort["title"] for title in ("Model", "Precision"))
            key = str.casefold if is_text else float
            assert values == sorted(values, key=key, reverse=press["direction"] == "descending"), sort["title"]
            assert press["bars"] == [name for name in press["names"] if name in press["bars"]]


@needs_browser
def test_a_mark_says_what_it_is(found: dict[str, Any]) -> None:
    assert found["note"][0] == found["note"][1] != ""


@needs_browser
def test_the_gain_of_the_chosen_model_is_shown(found: dict[str, Any]) -> None:
    assert all(shown == [chosen] for chosen, shown in found["gains"])
    assert found["gains"][0] != found["gains"][1]


@needs_browser
def test_nothing_is_wider_than_the_window(found: dict[str, Any]) -> None:
    assert found["inner"] == {str(width): width for width in (380, 800, 1280)}
    assert found["over"] == [0] * 12
    assert found["cards"] == 0  # on a phone not even the table scrolls


@needs_browser
def test_text_stays_readable_on_a_phone(found: dict[str, Any]) -> None:
    assert found["smallest"] >= 12
