"""The network of `tests.tiny_model` as ONNX, in every form that the exporter makes; the weights are seeded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ocrhpi.model import Model, load_model
from tests.tiny_model import VOCABULARY, write_config

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

Head: TypeAlias = Literal["full", "argmax", "argmax64", "topk"]
"""``full``: probabilities. The others: ``indices`` and ``probs``; ``argmax64`` leaves the indices at int64."""

STRIDE = 8


def write_tiny_onnx(
    path: Path, *, head: Head = "full", masked: bool = False, classes: int = len(VOCABULARY) + 2
) -> Path:
    """Write the network to ``path``. Masked, columns beyond a line's width count as zero."""
    nodes = [
        *(_mask("x", "seen") if masked else [helper.make_node("Identity", ["x"], ["seen"])]),
        helper.make_node("Conv", ["seen", "weight1"], ["conv1"], strides=[48, STRIDE]),
        helper.make_node("Relu", ["conv1"], ["relu"]),
        helper.make_node("Conv", ["relu", "weight2", "bias2"], ["conv2"]),
        helper.make_node("Squeeze", ["conv2", "two"], ["columns"]),
        helper.make_node("Transpose", ["columns"], ["sequence"], perm=[0, 2, 1]),
        helper.make_node("Softmax", ["sequence"], ["softmax" if head != "full" else "probabilities"], axis=2),
        *_head(head),
    ]
    inputs = [_value("x", TensorProto.FLOAT, ["N", 3, 48, "W"])]
    if head == "full":
        outputs = [_value("probabilities", TensorProto.FLOAT, ["N", "T", classes])]
    else:
        kind = TensorProto.INT64 if head == "argmax64" else TensorProto.INT32
        outputs = [_value("indices", kind, ["N", "T"]), _value("probs", TensorProto.FLOAT, ["N", "T"])]
    if masked:
        inputs.append(_value("widths", TensorProto.INT32, ["N"]))
        outputs.append(_value("steps", TensorProto.INT32, ["N"]))
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, _weights(classes))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def tiny_onnx_model(directory: Path, *, head: Head = "full", masked: bool = False) -> Model:
    """Write the network as a model directory without Paddle files, and read it."""
    write_tiny_onnx(directory / "inference.onnx", head=head, masked=masked)
    write_config(directory)
    return load_model(directory)


def spoil_weights(path: Path) -> Path:
    """Make the weights of the last layer no numbers."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == "weight2":
            tensor.CopyFrom(numpy_helper.from_array(np.full(tensor.dims, np.nan, np.float32), tensor.name))
    path.write_bytes(model.SerializeToString())
    return path


def _weights(classes: int) -> list[TensorProto]:
    random = np.random.default_rng(0)
    arrays: dict[str, npt.NDArray[Any]] = {
        "weight1": random.normal(0, 0.05, (8, 3, 48, STRIDE)).astype(np.float32),
        "weight2": random.normal(0, 1, (classes, 8, 1, 1)).astype(np.float32),
        "bias2": random.normal(0, 1, classes).astype(np.float32),
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "two": np.array([2], np.int64),
        "three": np.array([3], np.int64),
        "first": np.array(0, np.int64),
        "each": np.array(1, np.int64),
        "stride": np.array(STRIDE, np.int32),
        "rounding": np.array(STRIDE - 1, np.int32),
        "column_shape": np.array([-1, 1, 1, 1], np.int64),
        "nothing": np.array(0, np.float32),
    }
    return [numpy_helper.from_array(array, name) for name, array in arrays.items()]


def _mask(source: str, result: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Shape", [source], ["shape"]),
        helper.make_node("Gather", ["shape", "three"], ["width_list"]),
        helper.make_node("Squeeze", ["width_list", "zero"], ["width"]),
        helper.make_node("Range", ["first", "width", "each"], ["positions64"]),
        helper.make_node("Cast", ["positions64"], ["positions"], to=TensorProto.INT32),
        helper.make_node("Reshape", ["widths", "column_shape"], ["limits"]),
        helper.make_node("Less", ["positions", "limits"], ["inside"]),
        helper.make_node("Where", ["inside", source, "nothing"], [result]),
        helper.make_node("Add", ["widths", "rounding"], ["rounded"]),
        helper.make_node("Div", ["rounded", "stride"], ["steps"]),
    ]


def _head(head: Head) -> list[onnx.NodeProto]:
    if head == "full":
        return []
    if head == "topk":
        return [
            helper.make_node("TopK", ["softmax", "one"], ["top_probs", "top_indices"], axis=2),
            helper.make_node("Squeeze", ["top_probs", "two"], ["probs"]),
            helper.make_node("Squeeze", ["top_indices", "two"], ["indices64"]),
            helper.make_node("Cast", ["indices64"], ["indices"], to=TensorProto.INT32),
        ]
    wide = "indices" if head == "argmax64" else "indices64"
    arg_max = [
        helper.make_node("ArgMax", ["softmax"], [wide], axis=2, keepdims=0),
        helper.make_node("ReduceMax", ["softmax"], ["probs"], axes=[2], keepdims=0),
    ]
    if head == "argmax64":
        return arg_max
    return [*arg_max, helper.make_node("Cast", [wide], ["indices"], to=TensorProto.INT32)]


def _value(name: str, kind: int, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)
