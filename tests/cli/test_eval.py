"""``ocrhpi eval``: what it prints, what it writes, how it fails."""

from __future__ import annotations

import json
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from ocrhpi.cli import eval as module
from ocrhpi.cli import main
from ocrhpi.errors import BackendUnavailable
from ocrhpi.predictor import Predictor
from tests.cli.test_cli import run
from tests.conftest import needs_paddle2onnx
from tests.reading.fake_reader import FakeReader

if TYPE_CHECKING:
    from benchmarks.label_file import Label
    from ocrhpi.config.reading_options import ReadingOptions


@pytest.fixture
def rec_gt(labels: dict[str, Label], tmp_path: Path) -> Path:
    """Ten lines with what PaddleOCR reads on them, one that says otherwise, and one without an image."""
    rows = [f"{file}\t{label.text}" for file, label in list(labels.items())[10:20]]
    file = tmp_path / "rec_gt.txt"
    file.write_text("\n".join([*rows, "text_det_013.png\t惊喜\u0f00", "gone.png\tx"]), "utf-8")
    return file


@pytest.fixture
def read_as_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every backend reads the width of a line, without an engine; openvino is not installed."""

    def predictor(name: str) -> Predictor:
        if name == "openvino":
            raise BackendUnavailable(name, "no module", "pip install openvino")
        return Predictor(FakeReader(name))

    monkeypatch.setattr(module, "_opener", lambda name, *_: partial(predictor, name))


def test_the_real_model_reads_what_paddleocr_reads(v4_mobile_dir: Path, lines_dir: Path, rec_gt: Path) -> None:
    result = run("eval", v4_mobile_dir, "--labels", rec_gt, "--data", lines_dir, "--device", "cpu", "--json")
    assert result.exit_code == 0, result.output
    assert f"{lines_dir / 'gone.png'}: no such file" in result.stderr
    found = json.loads(result.stdout)
    assert (found["model"], found["dataset"], found["lines"]) == ("PP-OCRv4_mobile_rec", "lines", 12)
    assert (found["ignore_space"], found["is_filter"]) == (True, False)
    assert found["unwritable"] == {"lines": 1, "characters": ["\u0f00"]}
    assert [one["path"] for one in found["unreadable"]] == ["gone.png"]
    (row,) = found["backends"]
    assert (row["backend"], row["effective"]["backend"], row["reason"]) == ("paddle", "paddle", "")
    assert (row["lines"], row["correct"], row["unreadable"]) == (12, 10, 1)
    assert row["accuracy"] == pytest.approx(10 / 12.00001, abs=1e-12)
    # two of the eight characters read are expected, and one more is in the place of another
    assert row["norm_edit_distance"] == pytest.approx(1 - (6 / 8 + 1) / 12.00001, abs=1e-12)
    assert row["differences"][0] == {
        "path": "text_det_013.png",
        "expected": "惊喜\u0f00",
        "read": "惊喜福利不容错过",
        "error": "",
    }


def test_high_performance_mode_is_told_what_to_run(
    tiny_dir: Path, lines_dir: Path, rec_gt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_predictor(options: ReadingOptions, on_progress: object) -> Predictor:
        assert on_progress is not None
        assert (options.model_dir, options.device, options.use_hpip) == (str(tiny_dir), "cpu", True)
        assert options.hpi_config.objective == "latency"
        return Predictor(FakeReader("tuned"))

    monkeypatch.setattr(module, "open_predictor", open_predictor)
    config = tmp_path / "config.yml"
    config.write_text("objective: latency")
    arguments = ("eval", tiny_dir, "--labels", rec_gt, "--data", lines_dir, "--device", "cpu")
    asked = ("--hpi-config", config, "--backend", "high-performance", "--json")
    result = run(*arguments, *asked)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["backends"][0]["effective"]["backend"] == "tuned"
    assert "--backend high-performance" in run(*arguments, *asked[:2]).stderr


@needs_paddle2onnx
def test_every_engine_reads_the_same(tiny_dir: Path, lines_dir: Path, rec_gt: Path) -> None:
    backends = [part for name in ("paddle", "onnxruntime", "paddle") for part in ("--backend", name)]
    arguments = ("--labels", rec_gt, "--data", lines_dir, "--device", "cpu", "--batch-size", 4, "--json", *backends)
    result = run("eval", tiny_dir, *arguments)
    assert result.exit_code == 0, result.output
    one, other = json.loads(result.stdout)["backends"]
    assert [one["backend"], other["backend"]] == ["paddle", "onnxruntime"]
    assert one["differences"] == other["differences"]


@pytest.mark.usefixtures("read_as_width")
def test_the_table_shows_each_backend_and_what_it_read(
    tiny_dir: Path, lines_dir: Path, rec_gt: Path, tmp_path: Path
) -> None:
    arguments = ("eval", tiny_dir, "--labels", rec_gt, "--data", lines_dir)
    result = run(*arguments, "--backend", "paddle", "--backend", "high-performance", "--differences", tmp_path / "d")
    assert result.exit_code == 0, result.output
    assert "tiny_rec on 12 lines of lines" in result.stdout
    assert "lines hold characters that the model's vocabulary cannot write" in result.stdout
    rows = [row.split() for row in result.stdout.splitlines()]
    for name in ("paddle", "high-performance"):
        assert [name, "0.00", "%"] in [row[:3] for row in rows]
    assert "high-performance runs high-performance in fp32" in result.stdout
    assert result.stdout.count("'惊喜\u0f00'") == 2
    written = (tmp_path / "d").read_text("utf-8").splitlines()
    assert written[0] == "backend\tpath\texpected\tread\terror"
    assert len(written) == 1 + 2 * 12
    assert len([row for row in written if row.startswith("paddle\tgone.png\tx\t\t/")]) == 1


@pytest.mark.usefixtures("read_as_width")
def test_many_differences_are_cut_short(tiny_dir: Path, lines_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "many.txt").write_text("text_det_013.png\tx\n" * 25, "utf-8")
    arguments = ("--labels", tmp_path / "many.txt", "--data", lines_dir, "--differences", tmp_path / "none" / "d.tsv")
    result = run("eval", tiny_dir, *arguments)
    assert "... and 5 more; --differences FILE writes all" in result.stdout
    assert result.exit_code == 1
    assert "d.tsv could not be written (No such file or directory)" in result.stderr


@pytest.mark.usefixtures("read_as_width")
def test_a_backend_that_fails_is_a_row_and_the_exit_status_says_so(
    tiny_dir: Path, lines_dir: Path, rec_gt: Path
) -> None:
    backends = ("--backend", "openvino", "--backend", "paddle")
    arguments = ("eval", tiny_dir, "--labels", rec_gt, "--data", lines_dir, *backends)
    for extra in ((), ("--json",)):
        result = run(*arguments, *extra)
        assert result.exit_code == 1
        assert "pip install openvino" in result.stderr
    rows = json.loads(result.stdout)["backends"]
    assert [(row["backend"], "accuracy" in row) for row in rows] == [("openvino", False), ("paddle", True)]
    assert "pip install openvino" in rows[0]["reason"]


@pytest.mark.usefixtures("read_as_width")
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), (True, False)),
        (("--no_ignore_space",), (False, False)),
        (("--no-ignore-space", "--is_filter"), (False, True)),
        (("--no-ignore_space", "--is-filter"), (False, True)),
        (("--ignore-space",), (True, False)),
    ],
)
def test_options_of_the_metric(
    tiny_dir: Path, lines_dir: Path, rec_gt: Path, flags: tuple[str, ...], expected: tuple[bool, bool]
) -> None:
    result = run("eval", tiny_dir, "--labels", rec_gt, "--data", lines_dir, "--json", *flags)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["ignore_space"], found["is_filter"]) == expected


def test_what_does_not_fit_is_refused(tiny_dir: Path, lines_dir: Path, rec_gt: Path, tmp_path: Path) -> None:
    result = run("eval", tiny_dir, "--labels", rec_gt, "--data", lines_dir, "--backend", "openvno")
    assert result.exit_code == 1
    assert "Did you mean 'openvino'?" in result.stderr
    rec_gt.write_text("fine.png\tfine\nno tab\n", "utf-8")
    assert "rec_gt.txt, line 2: received 'no tab'" in run("eval", tiny_dir, "--labels", rec_gt).stderr
    assert "'labels'" in run("eval", tiny_dir, "--labels", tmp_path / "none").stderr
    assert run("eval", tiny_dir).exit_code == 2


def test_the_commands_of_the_page_about_own_models_are_known() -> None:
    page = (Path(__file__).parents[2] / "docs" / "your_own_model.md").read_text("utf-8")
    commands = [shlex.split(row)[1:] for row in page.splitlines() if row.startswith("ocrhpi ")]
    assert {name for name, *_ in commands} == {"text_recognition", "eval", "tune", "export"}
    for name, *arguments in commands:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        assert command.make_context(name, list(arguments)).params


def test_it_is_listed() -> None:
    assert "  eval " in run("--help").stdout
    assert "RecMetric" in run("eval", "--help").stdout
