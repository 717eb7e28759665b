"""``ocrhpi lower`` on a tiny model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from ocrhpi.cli import main
from ocrhpi.loader import find_model
from ocrhpi.quantization.plan import find_plan
from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("openvino")


def test_the_plan_is_kept_and_shown(tmp_path: Path) -> None:
    folder = tiny_onnx_model(tmp_path / "tiny").path
    cache = tmp_path / "cache"
    arguments = ["lower", str(folder), "--precision", "int8", "--lines", "4", "--cache_dir", str(cache)]
    result = CliRunner().invoke(main, arguments, env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    plan = find_plan(find_model(folder), "int8", cache_dir=cache)
    assert plan.lines == 4
    assert "tiny_rec in int8; the last row is kept" in result.output
    assert f"{plan.steps[-1].changed} of 4" in result.output
    assert "0 layers stay in FP32" in result.output
    assert any(line.startswith("file: ") and line.endswith("int8.yml") for line in result.output.splitlines())


def test_a_precision_that_needs_no_plan(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["lower", str(tmp_path), "--precision", "bf16"])
    assert result.exit_code == 2
    assert "'bf16' is not one of 'bf16-selective', 'int8', 'int8-selective'" in result.stderr
