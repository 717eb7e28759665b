"""The width mask on small graphs: exact where it understands, refused where it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ocrhpi.export.masking import UnknownGraph, mask_widths

CLASSES = 7


def graph(*middle: onnx.NodeProto, weights: dict[str, np.ndarray] | None = None, opset: int = 17) -> onnx.ModelProto:
    """x (N, 3, 48, W) -> conv of stride 2 -> ``middle`` (h -> g) -> mean over rows -> probabilities."""
    chance = np.random.default_rng(0)
    constants = {
        "w0": chance.normal(size=(5, 3, 3, 3)) / 5,
        "b0": chance.normal(size=5),
        "w1": chance.normal(size=(5, CLASSES)),
        **(weights or {}),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["h0"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["h0"], ["h"]),
        *middle,
        helper.make_node("ReduceMean", ["g"], ["rows"], axes=[2], keepdims=0),
        helper.make_node("Transpose", ["rows"], ["tokens"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["tokens", "w1"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=2),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 3, 48, "W"))]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ("N", "T", CLASSES))]
    initializers = [
        numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in constants.items() if v.dtype != int
    ]
    initializers += [numpy_helper.from_array(v, k) for k, v in constants.items() if v.dtype == int]
    made = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.asarray(value) for value in session.run(None, feeds)]


def largest_difference(model: onnx.ModelProto) -> float:
    """Run lines alone in the plain graph and together in the masked one; their padding holds noise, not zeros."""
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    masked = mask_widths(model)
    onnx.checker.check_model(masked)
    chance = np.random.default_rng(1)
    widths = np.array([64, 81, 96, 37], np.int32)
    batch = np.zeros((4, 3, 48, 128), np.float32)
    for row, width in enumerate(widths):
        batch[row, :, :, :width] = chance.normal(size=(3, 48, width))
    together, steps = run(masked, {"x": batch, "widths": widths})
    largest = 0.0
    for row, width in enumerate(widths):
        (alone,) = run(plain, {"x": batch[row : row + 1, :, :, :width]})
        assert steps[row] == alone.shape[1]
        largest = max(largest, float(np.abs(together[row, : steps[row]] - alone[0]).max()))
    return largest


def conv(kernel: int, **attributes: Any) -> onnx.NodeProto:
    pad = kernel // 2
    given: dict[str, Any] = {"kernel_shape": [kernel, kernel], "pads": [pad] * 4, **attributes}
    return helper.make_node("Conv", ["h", "w2", "b2"], ["g"], **given)


def conv_weights(kernel: int, groups: int = 1) -> dict[str, np.ndarray]:
    chance = np.random.default_rng(2)
    return {"w2": chance.normal(size=(5, 5 // groups, kernel, kernel)) / 5, "b2": chance.normal(size=5)}


EXACT = {
    "3x3": ([conv(3)], conv_weights(3)),
    "5x5": ([conv(5)], conv_weights(5)),
    "depthwise": ([conv(3, group=5)], conv_weights(3, groups=5)),
    "stride 2": ([conv(3, strides=[1, 2])], conv_weights(3)),
    "dilated": ([conv(3, dilations=[2, 2], pads=[2, 2, 2, 2])], conv_weights(3)),
    "same 2x2": ([conv(2, pads=None, auto_pad="SAME_UPPER")], conv_weights(2)),
    "asymmetric": ([conv(2, pads=[0, 0, 1, 1])], conv_weights(2)),
    "1x1": ([conv(1)], conv_weights(1)),
    "explicit pad": (
        [
            helper.make_node("Pad", ["h", "pads"], ["p"]),
            helper.make_node("Conv", ["p", "w2", "b2"], ["g"], kernel_shape=[2, 2]),
        ],
        {**conv_weights(2), "pads": np.array([0, 0, 0, 0, 0, 0, 1, 1])},
    ),
    "max pool of negative values": (
        [
            helper.make_node("Neg", ["h"], ["n"]),
            helper.make_node("MaxPool", ["n"], ["g"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        ],
        {},
    ),
    "average pool": ([helper.make_node("AveragePool", ["h"], ["g"], kernel_shape=[3, 2], strides=[3, 2])], {}),
    "squeeze and excitation": (
        [helper.make_node("GlobalAveragePool", ["h"], ["m"]), helper.make_node("Mul", ["h", "m"], ["g"])],
        {},
    ),
    "mean over rows and columns": (
        [helper.make_node("ReduceMean", ["h"], ["m"], axes=[2, 3]), helper.make_node("Mul", ["h", "m"], ["g"])],
        {},
    ),
}


@pytest.mark.parametrize("name", EXACT)
def test_padding_has_no_effect(name: str) -> None:
    nodes, weights = EXACT[name]
    copies = []
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copies.append(copy)
    assert largest_difference(graph(*copies, weights=weights)) < 1e-5


def attention(rows: bool) -> list[onnx.NodeProto]:
    """Self-attention over the columns, or over all rows x columns, of h."""
    if rows:
        tokens = [helper.make_node("Reshape", ["h", "flat"], ["s0"])]
        back = [helper.make_node("Shape", ["h"], ["shape"]), helper.make_node("Reshape", ["o", "shape"], ["g"])]
    else:
        tokens = [helper.make_node("ReduceMean", ["h"], ["s0"], axes=[2], keepdims=0)]
        back = [helper.make_node("Unsqueeze", ["o", "two"], ["g"])]
    return [
        *tokens,
        helper.make_node("Unsqueeze", ["s0", "one"], ["k"]),
        helper.make_node("Transpose", ["k"], ["q"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["q", "k"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["weights"], axis=-1),
        helper.make_node("MatMul", ["weights", "q"], ["v"]),
        helper.make_node("Squeeze", ["v", "one"], ["v3"]),
        helper.make_node("Transpose", ["v3"], ["o"], perm=[0, 2, 1]),
        *back,
    ]


@pytest.mark.parametrize("rows", [False, True], ids=["columns", "rows x columns"])
def test_attention_sees_no_padding(rows: bool) -> None:
    constants = {"flat": np.array([0, 5, -1]), "one": np.array([1]), "two": np.array([2])}
    assert largest_difference(graph(*attention(rows), weights=constants)) < 1e-5


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (helper.make_node("InstanceNormalization", ["h", "s", "s"], ["g"]), "InstanceNormalization"),
        (helper.make_node("CumSum", ["h", "axis"], ["g"]), "CumSum"),
        (
            helper.make_node("AveragePool", ["h"], ["g"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            "averages over padding",
        ),
        (helper.make_node("Softmax", ["h"], ["g"], axis=2), "axis 2"),
        (
            helper.make_node(
                "Conv", ["h", "w2", "b2"], ["g"], kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER"
            ),
            "SAME_LOWER",
        ),
    ],
)
def test_what_is_not_understood_is_refused(node: onnx.NodeProto, reason: str) -> None:
    weights = {**conv_weights(3), "s": np.ones(5), "axis": np.array(3)}
    with pytest.raises(UnknownGraph, match=reason):
        mask_widths(graph(node, weights=weights))
