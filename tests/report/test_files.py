"""Reading rows and writing the report: what is damaged is named, and nothing is overwritten that is no report."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi.errors import OptionError
from ocrhpi.report.bench_figures import figures_of
from ocrhpi.report.files import as_csv, read_rows, write_report
from ocrhpi.report.markdown import as_markdown, escaped
from tests.report.samples import HOSTILE, gpu_row, result, row, run_of_a_machine, save, unmeasured

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_what_bench_wrote_comes_back(tmp_path: Path) -> None:
    rows = sorted(run_of_a_machine(), key=lambda one: one.model)
    assert read_rows(save(rows, tmp_path)) == rows


def test_a_report_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    rows = save([row("m")], tmp_path)
    (tmp_path / ".m.json").write_text("{")
    (tmp_path / "notes.txt").write_text("mine")
    write_report(read_rows(rows), tmp_path)
    write_report(read_rows(rows), tmp_path)
    assert [one.model for one in read_rows(rows)] == ["m"]
    assert not list(tmp_path.glob("*.tmp"))


def test_an_empty_directory_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="ocrhpi bench all -o "):
        read_rows(tmp_path)


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"gone: No such file"):
        read_rows(tmp_path / "gone")


def changed(**facts: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda content: {**content, **facts}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda _: [1], "is not a file that"),
        (changed(format="other"), "is not a file that"),
        (changed(size_mib="big"), "damaged at size_mib"),
        (changed(color="red"), "damaged at color"),
        (changed(model="other"), "whose file is called 'other.json'"),
        (changed(format="ocrhpi-bench-1"), "is not a file that"),
        (changed(width_weights=[0.65, 0.2, 0.12, 0.03]), "damaged at width_weights"),
        (changed(modes=[{"mode": "plain", "engine_ms": [0.0]}]), "a time of mode plain is not above 0"),
        (changed(modes=[{"mode": "plain", "engine_ms": [float("nan")]}]), "a time of mode plain is not above 0"),
        (changed(modes=[{"mode": "plain", "samples": [1.0, -1.0]}]), "a time of mode plain is not above 0"),
        (changed(modes=[{"mode": "plain", "samples": [float("inf")]}]), "a time of mode plain is not above 0"),
        (changed(modes=[{"mode": "plain", "samples": [[1.0]]}]), "damaged at modes.0.samples.0"),
        (changed(modes=[{"mode": "plain"}, {"mode": "plain"}]), "stands in it twice"),
    ],
)
def test_damaged_and_foreign_files_are_named(
    change: Callable[[dict[str, Any]], dict[str, Any]], reason: str, tmp_path: Path
) -> None:
    path = save([row("m")], tmp_path) / "m.json"
    path.write_text(json.dumps(change(json.loads(path.read_text("utf-8")))))
    with pytest.raises(OptionError) as caught:
        read_rows(tmp_path)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b'{"format": "ocrhpi-bench-2", "model": "\\ud800"}', b"[" * 10**5]
)
def test_what_is_no_text_or_no_json(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_bytes(content)
    with pytest.raises(OptionError, match=r"m\.json: "):
        read_rows(tmp_path)


def test_a_model_called_report_is_not_overwritten(tmp_path: Path) -> None:
    rows = save([row("report")], tmp_path)
    before = (tmp_path / "report.json").read_bytes()
    with pytest.raises(OptionError, match="choose another directory"):
        write_report(read_rows(rows), rows)
    assert (tmp_path / "report.json").read_bytes() == before
    assert len(write_report(read_rows(rows), tmp_path / "new" / "er")) == 4


def test_a_file_in_the_way_of_the_output(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match="file: File exists"):
        write_report([row("m")], tmp_path / "file")


def test_json_has_the_documented_keys(tmp_path: Path) -> None:
    write_report(run_of_a_machine(), tmp_path)
    values = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert values["format"] == "ocrhpi-report-2"
    models = {one["model"]: one for one in values["models"]}
    one = models["PP-OCRv4_mobile_rec"]
    assert set(one) == {
        *("model", "weights", "fingerprint", "size_mib", "created", "seconds", "device", "threads", "machine"),
        *("versions", "load", "unstable", "batch_size", "budget_s", "precision", "calibration"),
        *("accuracy", "reason", "modes", "engine_speeds", "line_speeds", "published", "tuning"),
    }
    assert one["engine_speeds"]["onednn"]["median"] == pytest.approx(2.0, rel=0.05)
    assert one["engine_speeds"]["onednn"]["verdict"] == "faster"
    assert models["my_model"]["engine_speeds"]["onednn"]["verdict"] == "none"
    assert one["published"]["cpu"]["speed"] == pytest.approx(16.74 / 4.64)
    assert set(one["modes"]["plain"]) == {
        *("setup", "reason", "effective", "gate", "load_s", "peak_mib", "engine_ms", "line_ms", "lines_per_s"),
        *("engine_rounds_ms", "line_rounds_ms"),
    }
    assert models["ka_PP-OCRv3_mobile_rec"]["reason"] == "its weights are not here"
    assert "/models/v4" not in json.dumps(values)  # paths are nobody's business


def test_csv(tmp_path: Path) -> None:
    write_report(run_of_a_machine(), tmp_path)
    with (tmp_path / "report.csv").open(encoding="utf-8", newline="") as file:
        lines = {line["model"]: line for line in csv.DictReader(file)}
    assert len(lines) == 6
    assert float(lines["PP-OCRv4_mobile_rec"]["vs_onednn_engine"]) == pytest.approx(2.0, rel=0.05)
    assert lines["my_model"]["vs_onednn_engine_verdict"] == "none"
    assert lines["PP-OCRv4_mobile_rec"]["precision"] == "fp32"
    assert lines["ka_PP-OCRv3_mobile_rec"]["plain_engine_ms"] == ""


def test_a_spreadsheet_finds_no_formula() -> None:
    assert "'=1+1" in as_csv(figures_of([unmeasured("m", "=1+1")]))


class TestMarkdown:
    def text(self, *rows: Any) -> str:
        return as_markdown(figures_of(rows or run_of_a_machine()), [])

    def line(self, name: str, *rows: Any) -> list[list[str]]:
        tables = [line for line in self.text(*rows).splitlines() if line.startswith(f"| {name}")]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in tables]

    def test_the_form_of_the_published_table(self) -> None:
        first, second = self.line("PP-OCRv4_mobile_rec")
        assert first == ["PP-OCRv4_mobile_rec", "81.25", "-", "30.1 / 4.00", "10.2"]
        assert second[6] == "3.61x"
        assert second[-2:] == ["FP32", "32 of 32 (200 of 200)"]

    def test_a_gpu(self) -> None:
        first, _ = self.line("PP-OCRv4_mobile_rec", gpu_row("PP-OCRv4_mobile_rec"))
        assert first[2].startswith("4.9")
        assert first[3] == "-"

    def test_noise_is_no_difference(self) -> None:
        _, second = self.line("my_model")
        assert second[5].endswith("no difference beyond noise")

    def test_what_must_be_known(self) -> None:
        text = self.text()
        assert "ch_SVTRv2_rec ran with reference weights" in text
        assert "they say nothing about accuracy or precision" in text
        assert "‡ my_model is to be taken with care: plain: the middle half spreads." in text
        assert "- **ka_PP-OCRv3_mobile_rec**: its weights are not here" in text
        assert "- **PP-OCRv4_server_rec**, Paddle + oneDNN: load: signal 11 \\<b\\>" in text

    def test_nothing_was_measured(self) -> None:
        assert "## High" not in self.text(unmeasured("m", "no weights"))

    def test_marks_are_escaped(self) -> None:
        assert escaped("a_b _c_ *d* <e> |f|\n`g`") == r"a_b \_c\_ \*d\* \<e\> \|f\| \`g\`"
        text = self.text(row(HOSTILE, modes=(result("plain", 1.0),), unstable=HOSTILE))
        assert "<script>" not in text
        assert "\x1b" not in text

    def test_random_weights_throughout(self) -> None:
        text = self.text(row("a", weights="reference"), row("b", weights="reference"), unmeasured("c", "no weights"))
        assert "† All models ran with reference weights" in text
