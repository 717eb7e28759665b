"""Make the front page's figures from the committed results: its plot, its terminal picture, its tables.

    python scripts/figures.py [--check]

Nothing is measured here. ``--check`` writes nothing, and ends with 1 and the names of the files that are not what the
results say; tests/test_front_page.py does that.
"""

from __future__ import annotations

import html
import io
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.terminal_theme import MONOKAI

from ocrhpi.report.tuning_table import tuning_table
from ocrhpi.tuning.cache import read_tuning

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PEERS = RESULTS / "xeon-amx-2-cores" / "peers.json"
TUNING = RESULTS / "xeon-amx-2-cores" / "hpi_config.yml"
MODELS = RESULTS / "amd-epyc-2-cores" / "report.md"

_SHOWN_MODELS = (
    *("PP-OCRv5_mobile_rec", "PP-OCRv4_mobile_rec", "en_PP-OCRv4_mobile_rec", "arabic_PP-OCRv3_mobile_rec"),
    *("PP-OCRv5_server_rec", "PP-OCRv4_server_rec", "ch_SVTRv2_rec"),
)

# Of each system of the benchmark, what the plot calls it.
_EQUAL = {
    "PaddleOCR paddle_static": "PaddleOCR, oneDNN (its default)",
    "RapidOCR openvino f32": "RapidOCR, OpenVINO, set to FP32",
    "ocrhpi high performance": "ocrhpi, use_hpip=True",
}
_AS_THEY_COME = {
    "RapidOCR openvino": "RapidOCR, OpenVINO as it comes (BF16)",
    "ocrhpi high performance no-loss": "ocrhpi, accuracy: no-loss (BF16)",
}
_EQUAL_TITLE, _CHANGED_TITLE = "The text of normal mode", "Text may change"
_WIDTH, _LEFT, _BAR, _STEP = 760, 290, 22, 34
_RIGHT = 220  # for what is written beside a bar
_COLOURS = {
    "light": {"text": "#1f2328", "faint": "#59636e", "peer": "#a8b3bf", "ours": "#0a7d4f"},
    "dark": {"text": "#e6edf3", "faint": "#9198a1", "peer": "#4a5560", "ours": "#2fbf83"},
}
_FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"


class Bar(NamedTuple):
    """One system on the stream.

    Attributes:
        name: What it is called.
        lines_per_s: Over all rounds, first sight of widths included.
        equal: Texts that are those of the reference.
        lines: Texts that were read.
        ours: Whether it is ours.
    """

    name: str
    lines_per_s: float
    equal: int
    lines: int
    ours: bool


def bars(report: Mapping[str, Any]) -> dict[str, list[Bar]]:
    """Return the systems in two groups; of several batch sizes the fastest, of most equal texts where these must be."""

    def equal_first(bar: Bar) -> tuple[int, float]:
        return bar.equal, bar.lines_per_s

    def fastest(bar: Bar) -> tuple[int, float]:
        return 0, bar.lines_per_s

    return {
        _EQUAL_TITLE: [max(_measured(report, *system), key=equal_first) for system in _EQUAL.items()],
        _CHANGED_TITLE: [max(_measured(report, *system), key=fastest) for system in _AS_THEY_COME.items()],
    }


def _measured(report: Mapping[str, Any], system: str, name: str) -> list[Bar]:
    """Return the bars of a system, one for each batch size."""
    lines = report["plan"]["stream_lines"]
    records = [one for one in report["records"] if one["setting"]["system"]["name"] == system and one["stream_s"]]
    return [
        Bar(
            name,
            lines * len(one["stream_s"]) / sum(one["stream_s"]),
            sum(one["stream_texts"]),
            lines * len(one["stream_s"]),
            one["setting"]["system"]["ours"],
        )
        for one in records
    ]


def plot(report: Mapping[str, Any], theme: str) -> str:
    """Return the plot as SVG."""
    colours = _COLOURS[theme]
    groups = bars(report)
    longest = max(bar.lines_per_s for group in groups.values() for bar in group)
    parts, top = [], 8
    for title, group in groups.items():
        parts.append(_text(0, top + 14, title, colours["text"], weight=600))
        top += 26
        for bar in group:
            length = (_WIDTH - _LEFT - _RIGHT) * bar.lines_per_s / longest
            colour = colours["ours" if bar.ours else "peer"]
            parts.append(_text(12, top + 16, bar.name, colours["text"]))
            parts.append(f'<rect x="{_LEFT}" y="{top}" width="{length:.1f}" height="{_BAR}" rx="3" fill="{colour}"/>')
            share = f"{100 * bar.equal / bar.lines:.0f} % of texts equal"
            parts.append(_text(_LEFT + length + 8, top + 16, f"{bar.lines_per_s:.0f} lines/s", colours["text"], 600))
            parts.append(_text(_LEFT + length + 92, top + 16, share, colours["faint"], size=11))
            top += _STEP
        top += 8
    body = "\n".join(parts)
    title = f"Lines per second on a stream of new widths, {report['model']['name']}, {report['threads']} cores"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" width="{_WIDTH}" role="img" '
        f'aria-label="{title}">\n{body}\n</svg>\n'
    )


def _text(x: float, y: float, text: str, colour: str, weight: int = 400, *, size: int = 13) -> str:
    style = f'font-family="{_FONT}" font-size="{size}" font-weight="{weight}" fill="{colour}"'
    return f'<text x="{x:.0f}" y="{y:.0f}" {style}>{html.escape(text)}</text>'


def terminal() -> str:
    """Return what ``ocrhpi tune`` prints, as SVG."""
    console = Console(record=True, width=112, file=io.StringIO(), force_terminal=True, highlight=False, markup=False)
    console.print(tuning_table(read_tuning(TUNING)))
    picture = console.export_svg(title="ocrhpi tune PP-OCRv4_mobile_rec", theme=MONOKAI, unique_id="tuning")
    # Its font would be fetched from another host.
    return re.sub(r"\s*@font-face \{.*?\}\n", "", picture, flags=re.DOTALL) + "\n"


def caption(report: Mapping[str, Any]) -> str:
    """Return what stands below the plot."""
    name, machine, widths = report["model"]["name"], report["machine"], report["stream"]["padded_widths"]
    cpu = "Intel Xeon with AMX" if "amx_bf16" in machine["cpu_flags"] else machine["cpu"]
    (paddle, rapid, same), (as_it_comes, changed) = bars(report).values()
    gains = [
        f"{same.lines_per_s / paddle.lines_per_s:.1f} times PaddleOCR",
        f"{same.lines_per_s / rapid.lines_per_s:.1f} times RapidOCR at nearly the same text",
        f"{changed.lines_per_s / as_it_comes.lines_per_s:.1f} times RapidOCR where text may change",
    ]
    return (
        f"*{name}, {report['threads']} cores of an {cpu}, {paddle.lines:,} lines of {widths} widths, "
        f"most of which no engine has met before: {', '.join(gains)}. {report['created'][:10]}; "
        "[how, and the raw data](benchmarks/results/README.md).*"
    )


def models_table() -> str:
    """Return the table of models: PaddleOCR's default first."""
    table = _table(MODELS.read_text("utf-8"), "## High-performance mode against normal mode")
    rows = [
        "| model | Paddle + oneDNN, PaddleOCR's default | ocrhpi, FP32, same text | gain (95 %) | plain Paddle |",
        "|---|--:|--:|--:|--:|",
    ]
    for row in table:
        name = row["Model"].split(" ")[0].replace("\\", "")
        if name in _SHOWN_MODELS:
            onednn, ours, plain = (
                row[key] for key in ("Paddle + oneDNN (ms)", "high-performance (ms)", "Paddle, plain (ms)")
            )
            gain = row["Engine, vs Paddle + oneDNN (95 %)"].split(":")[0]
            rows.append(f"| {name} | {onednn} ms | **{ours} ms** | {gain} | {plain} ms |")
    return "\n".join(rows)


def _table(text: str, heading: str) -> Iterable[dict[str, str]]:
    lines = iter(text[text.index(heading) :].splitlines()[1:])
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in _rows(lines)]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def _rows(lines: Iterable[str]) -> Iterable[str]:
    begun = False
    for line in lines:
        if line.startswith("|"):
            begun = True
            yield line
        elif begun:
            return


def made() -> dict[Path, str]:
    """Return all files with what the results say."""
    report = json.loads(PEERS.read_text("utf-8"))
    images = ROOT / "docs" / "images"
    readme = (ROOT / "README.md").read_text("utf-8")
    for name, text in {"stream": caption(report), "models": models_table()}.items():
        pattern = rf"(<!-- {name}: made by scripts/figures.py -->).*?(<!-- end -->)"
        replaced = f"\\1\n{text}\n\\2"
        readme = re.sub(pattern, replaced, readme, flags=re.DOTALL)
    return {
        **{images / f"stream-{theme}.svg": plot(report, theme) for theme in _COLOURS},
        images / "tuning.svg": terminal(),
        ROOT / "README.md": readme,
    }


def main() -> None:
    """Write or check the files."""
    differing = {path: text for path, text in made().items() if not path.is_file() or path.read_text("utf-8") != text}
    check = "--check" in sys.argv
    for path, text in differing.items():
        print(f"{'differs' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    if differing and check:
        sys.exit(1)


if __name__ == "__main__":
    main()
