"""``ocrhpi explain``: the file alone says why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ocrhpi.tuning.cache import save
from tests.cli.test_cli import run
from tests.report.tuning_samples import tuning

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    assert save(tuning(), tmp_path / "hpi_config.yml")
    return tmp_path / "hpi_config.yml"


def test_it_says_where_it_was_made_and_why(file: Path) -> None:
    result = run("explain", file)
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    for part in (
        "machine AMD EPYC 9J14, 2 cores",
        "engines paddle 3.3.0, openvino 2026.4.1",
        "▶ openvino, masked 64,",
        "rejected: 'openvino, precision=bf16, exact, batch 8'",
        "'极速发货' became '极速发贷'",
        "why: 'openvino, masked 64, batch 8' is 2.27x",
        "with accuracy no-loss: ",
        f"file: {file}",
    ):
        assert part in text
    assert result.stderr == ""
    assert "\x1b" not in result.stdout


def test_a_quick_look_says_so(tmp_path: Path) -> None:
    file = tmp_path / "quick.yml"
    assert save(tuning().model_copy(update={"quick": True}), file)
    assert "a quick look: 'ocrhpi tune' measures thoroughly" in " ".join(run("explain", file).stdout.split())
    assert json.loads(run("explain", file, "--json").stdout)["quick"] is True


def test_json(file: Path) -> None:
    values = json.loads(run("explain", file, "--json").stdout)
    assert values["path"] == str(file)
    assert values["winner"] == "openvino, masked 64, batch 8"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        ("objective: latency\n", "not the file of a tuning"),
        ("a: [", "no YAML"),
        ("format: ocrhpi-hpi-config-9\n", "ocrhpi-hpi-config-9"),
        ("format: ocrhpi-hpi-config-1\n", "this version of ocrhpi reads 'ocrhpi-hpi-config-2'"),
        ("format: ocrhpi-hpi-config-2\n", "damaged"),
    ],
)
def test_what_is_no_tuning(content: str | None, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "other.yml"
    if content is not None:
        file.write_text(content)
    result = run("explain", file)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    for part in (str(file), reason, "expected a file that 'ocrhpi tune' or use_hpip=True made"):
        assert part in result.stderr


@pytest.mark.parametrize("option", [(), ("--json",)])
def test_a_pipe_that_cannot_take_every_text(file: Path, option: tuple[str, ...]) -> None:
    program = "from ocrhpi.cli import main; main()"
    shown = subprocess.run(
        [sys.executable, "-c", program, "explain", str(file), *option],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        check=True,
    )
    assert "\\u6781" in shown.stdout.decode("cp1252")
    if option:
        assert json.loads(shown.stdout)["rows"]
