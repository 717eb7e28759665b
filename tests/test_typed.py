"""The types that the package ships: what a program that uses them is told."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("mypy", reason="mypy is in the group 'check'")

PROGRAM = """
from pathlib import Path

from ocrhpi import OcrhpiError, Predictor, TextRecognition, TextRecResult, load_high_performance, load_predictor


def texts(predictor: Predictor, folder: Path) -> list[str]:
    try:
        return [str(result["rec_text"]) for result in predictor.predict_iter(folder, batch_size=8)]
    except OcrhpiError as error:
        raise SystemExit(str(error)) from error


def main(folder: Path) -> int:
    with load_predictor("PP-OCRv4_mobile_rec", backend="openvino", batching="split") as predictor:
        found = texts(predictor, folder)
    with load_high_performance("PP-OCRv4_mobile_rec", hpi_config={"budget_s": 20}) as predictor:
        found += texts(predictor, folder)
    with TextRecognition(model_name="PP-OCRv4_mobile_rec", use_hpip=True) as recognition:
        results: list[TextRecResult] = recognition.predict(str(folder))
    return len(found) + len(results)
"""


def checked(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(program, "utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"), "program.py"]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)


@pytest.mark.slow
def test_a_program_passes_the_strictest_check(tmp_path: Path) -> None:
    run = checked(PROGRAM, tmp_path)
    assert run.returncode == 0, run.stdout


@pytest.mark.slow
def test_a_wrong_argument_is_found(tmp_path: Path) -> None:
    run = checked(PROGRAM.replace("batch_size=8", 'batch_size="eight"'), tmp_path)
    assert 'Argument "batch_size"' in run.stdout
