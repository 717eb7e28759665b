"""``ocrhpi export`` of graphs for GPUs; the other forms are in `tests.cli.test_cli`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from click.testing import CliRunner

from ocrhpi.cli import main
from ocrhpi.model.graph_facts import read_onnx_metadata
from tests.conftest import needs_paddle2onnx

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


@needs_paddle2onnx
def test_half_precision_and_pixels(tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(tmp_path / "cache"))
    arguments = [
        "export",
        str(tiny_dir),
        "-o",
        str(tmp_path / "out"),
        "--head",
        "argmax",
        "--precision",
        "fp16",
        "--pixels",
    ]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    file = tmp_path / "out" / "inference.onnx"
    assert read_onnx_metadata(file)["precision"] == "fp16"
    assert [item.name for item in onnx.load(file).graph.input] == ["pixels", "contents"]


def test_a_precision_that_graphs_do_not_have(tiny_dir: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["export", str(tiny_dir), "-o", str(tmp_path), "--precision", "int8"])
    assert result.exit_code == 2
    assert "'int8' is not one of 'fp32', 'fp16'" in result.stderr
