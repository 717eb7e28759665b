from __future__ import annotations

import json
from typing import Any

import pytest

from ocrhpi.backends.trt.precisions import LayerPrecisions, read_information, verify_precision
from ocrhpi.errors import BackendMismatch


def layer(kind: str, told: str, name: str = "layer", **more: Any) -> dict[str, Any]:
    """Write a layer as the inspectors of TensorRT 8 and 10 do."""
    return {"Name": name, "LayerType": kind, "Inputs": [{"Name": "x", "Format/Datatype": told}], "Outputs": [], **more}


def information(*layers: Any) -> str:
    return json.dumps({"Layers": layers, "Bindings": ["x"]})


@pytest.mark.parametrize(
    ("told", "precision"),
    [
        ("Row major linear FP32", "fp32"),
        ("Channel major FP16 format where channel % 8 == 0", "fp16"),
        ("Half", "fp16"),
        ("Float", "fp32"),
        ("BFloat16", "bf16"),
        ("FP8", "fp8"),
    ],
)
def test_formats_are_recognised(told: str, precision: str) -> None:
    found = read_information(information(layer("CaskConvolution", told)))
    assert found == LayerPrecisions({precision: 1}, {precision: 1})


def test_the_schema_of_tensorrt_11() -> None:
    tensor = {"Name": "x", "DataType": "Half", "Format": "Row major linear"}
    found = read_information(information({"Name": "a", "LayerType": "gemm", "Inputs": [tensor], "Outputs": []}))
    assert found == LayerPrecisions({"fp16": 1}, {})


def test_layers_that_move_data_or_hold_integers_do_not_count() -> None:
    found = read_information(
        information(
            layer("Reformat", "Row major linear FP32"),
            layer("NoOp", "Half"),
            layer("Constant", "Half"),
            layer("kgen", "Row major linear INT32"),
            layer("CaskConvolution", "Half"),
            layer("kgen", "Float", name="__myl_SoftmaxTopK"),
        )
    )
    assert found is not None
    assert found.layers == {"fp16": 1, "fp32": 1}
    assert found.convolutions == {"fp16": 1}
    assert found.shares == {"fp16": 0.5, "fp32": 0.5}


def test_convolutions_in_fused_layers_are_known_by_the_nodes_of_the_graph() -> None:
    fused = layer("kgen", "Half", Metadata="[ONNX Layer: Conv.3]\x1e[ONNX Layer: Relu.4]")
    converted = layer("kgen", "Float", name="ConvertToFloat")
    found = read_information(information(fused, converted))
    assert found is not None
    assert found.convolutions == {"fp16": 1}


@pytest.mark.parametrize(
    "told",
    ["", "not JSON", "[]", "{}", information(), information("only", "names"), information(layer("kgen", "INT32"))],
)
def test_an_inspector_that_tells_nothing_gives_a_note(told: str) -> None:
    assert read_information(told) is None
    (note,) = verify_precision(None, "fp16")
    assert "unverified" in note


FP32 = {"fp32": 4}
FP16 = {"fp16": 3, "fp32": 1}


@pytest.mark.parametrize(
    ("layers", "convolutions", "asked"), [(FP32, FP32, "fp32"), (FP16, {"fp16": 1}, "fp16"), (FP16, {}, "fp16")]
)
def test_what_was_asked_for_is_accepted(layers: dict[str, int], convolutions: dict[str, int], asked: Any) -> None:
    assert verify_precision(LayerPrecisions(layers, convolutions), asked) == ()


@pytest.mark.parametrize(
    ("layers", "convolutions", "asked", "got"),
    [
        (FP32, {"fp32": 2}, "fp16", "runs all convolutions otherwise: 2 in fp32"),
        (FP16, {"fp32": 2}, "fp16", "runs all convolutions otherwise: 2 in fp32"),
        (FP32, {}, "fp16", "runs all layers otherwise: 4 in fp32"),
        (FP16, {"fp32": 2}, "fp32", "runs 3 in fp16 of its layers in less"),
    ],
)
def test_another_precision_is_a_mismatch(
    layers: dict[str, int], convolutions: dict[str, int], asked: Any, got: str
) -> None:
    with pytest.raises(BackendMismatch, match=rf"asked for precision {asked}, but TensorRT {got}"):
        verify_precision(LayerPrecisions(layers, convolutions), asked)
