"""Precisions of single layers in OpenVINO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx
import pytest

from ocrhpi.backends.openvino_ import OpenVinoBackend
from ocrhpi.backends.openvino_layers import keep_fp32, layer_precisions
from ocrhpi.errors import BackendMismatch
from ocrhpi.model import Model, ModelFiles
from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from pathlib import Path

openvino = pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_onnx_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def core() -> Any:
    core = openvino.Core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no BF16")
    return core


@pytest.mark.parametrize(
    ("kept", "expected"),
    [((), {"bf16": 2}), (("conv1",), {"bf16": 1, "fp32": 1}), (("conv1", "relu", "conv2"), {"fp32": 2})],
    ids=str,
)
def test_what_is_kept_stays_in_fp32(core: Any, model: Model, kept: tuple[str, ...], expected: dict[str, int]) -> None:
    network = keep_fp32(core.read_model(model.files.onnx), kept, openvino.save_model, core.read_model)
    compiled = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    assert layer_precisions(compiled) == expected


def in_precision(model: Model, folder: Path, precision: str) -> Model:
    graph = onnx.load(str(model.files.onnx))
    graph.metadata_props.add(key="precision", value=precision)
    onnx.save(graph, folder / "inference.onnx")
    return Model("tiny", folder, ModelFiles(onnx=folder / "inference.onnx"), model.spec, model.vocabulary)


@pytest.mark.parametrize(("found", "asked"), [("int8", "fp32"), ("fp32", "int8"), ("int8-selective", "bf16")])
def test_another_precision_than_the_graphs_is_refused(model: Model, tmp_path: Path, found: str, asked: str) -> None:
    with pytest.raises(BackendMismatch, match=f"asked for precision {asked}, but the graph .* is {found}"):
        OpenVinoBackend(in_precision(model, tmp_path, found), "cpu", {"precision": asked}).open()


def test_a_graph_that_says_int8_and_is_not(model: Model, tmp_path: Path) -> None:
    with pytest.raises(BackendMismatch, match="asked for precision int8, but OpenVINO runs none of the layers so"):
        OpenVinoBackend(in_precision(model, tmp_path, "int8"), "cpu", {"precision": "int8"}).open()
