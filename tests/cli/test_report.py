"""``ocrhpi report``: a report of one run, a comparison of two."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_cli import run
from tests.report.samples import row, run_of_a_machine, save

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["report.md", "report.csv", "report.json", "report.html"]


def test_a_report_beside_the_rows(tmp_path: Path) -> None:
    rows = save(run_of_a_machine(), tmp_path / "rows")
    for _ in range(2):
        result = run("report", rows)
        assert result.exit_code == 0, result.output
        assert result.stdout.splitlines() == [str(rows / name) for name in NAMES]


def test_a_report_elsewhere(tmp_path: Path) -> None:
    rows = save(run_of_a_machine(), tmp_path / "rows")
    assert run("report", rows, "--output", tmp_path / "new").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(NAMES)
    assert not (rows / "report.md").exists()


def test_an_empty_directory(tmp_path: Path) -> None:
    result = run("report", tmp_path)
    assert result.exit_code == 1
    assert f"ocrhpi bench all -o {tmp_path}" in result.stderr


@pytest.mark.parametrize(("high", "status"), [(5.0, 0), (4.0, 0), (6.0, 1)])
def test_the_exit_status_of_a_comparison(high: float, status: int, tmp_path: Path) -> None:
    before, after = save([row("m")], tmp_path / "a"), save([row("m", high=high, seed=1)], tmp_path / "b")
    result = run("report", before, after)
    assert result.exit_code == status, result.output
    assert result.stderr == ""
    assert ("SLOWER" in result.stdout) == bool(status)
    assert not (before / "report.md").exists()


def test_a_comparison_writes_no_files(tmp_path: Path) -> None:
    rows = save([row("m")], tmp_path / "a")
    result = run("report", rows, rows, "-o", tmp_path / "b")
    assert result.exit_code == 2
    assert "--output is of no use" in result.stderr


def test_a_pipe_that_cannot_take_every_text(tmp_path: Path) -> None:
    rows = save([row("模型")], tmp_path / "a")
    shown = subprocess.run(
        [sys.executable, "-c", "from ocrhpi.cli import main; main()", "report", str(rows), str(rows)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        check=True,
    )
    assert "\\u6a21" in shown.stdout.decode("cp1252")


def test_no_engine_is_loaded(tmp_path: Path) -> None:
    rows = save([row("m")], tmp_path / "a")
    program = (
        "import sys; from ocrhpi.cli import main; main(['report', sys.argv[1]], standalone_mode=False);"
        "sys.exit(bool({'paddle', 'openvino', 'onnxruntime', 'cv2'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program, str(rows)], check=False).returncode == 0
