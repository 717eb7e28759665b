"""The width mask on small graphs: exact where it understands, refused where it does not."""

from __future__ import annotations

import copy
from collections import Counter
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
    rng = np.random.default_rng(0)
    constants = {
        "w0": rng.normal(size=(5, 3, 3, 3)) / 5,
        "b0": rng.normal(size=5),
        "w1": rng.normal(size=(5, CLASSES)),
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
    rng = np.random.default_rng(1)
    widths = np.array([64, 81, 96, 37, 128, 127], np.int32)
    batch = np.zeros((len(widths), 3, 48, 128), np.float32)
    for row, width in enumerate(widths):
        batch[row, :, :, :width] = rng.normal(size=(3, 48, width))
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
    rng = np.random.default_rng(2)
    return {"w2": rng.normal(size=(5, 5 // groups, kernel, kernel)) / 5, "b2": rng.normal(size=5)}


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
    "3x3 of stride 2 without padding": ([conv(3, strides=[2, 2], pads=[0, 0, 0, 0])], conv_weights(3)),
    "1x1 of stride 2": ([conv(1, strides=[1, 2])], conv_weights(1)),
    "5x5 of stride 3": ([conv(5, strides=[1, 3], pads=[2, 1, 2, 3])], conv_weights(5)),
    "dilated at a stride": ([conv(3, dilations=[2, 2], strides=[2, 2], pads=[2, 1, 2, 2])], conv_weights(3)),
    "same 4x4": ([conv(4, pads=None, auto_pad="SAME_UPPER")], conv_weights(4)),
    "same 2x2 max pool": (
        [
            helper.make_node("Neg", ["h"], ["n"]),
            helper.make_node("MaxPool", ["n"], ["g"], kernel_shape=[2, 2], auto_pad="SAME_UPPER", ceil_mode=1),
        ],
        {},
    ),
    "a pad that makes it wider": (
        [
            helper.make_node("Pad", ["h", "pads"], ["p"]),
            helper.make_node("Conv", ["p", "w2", "b2"], ["g"], kernel_shape=[2, 2]),
        ],
        {**conv_weights(2), "pads": np.array([0, 0, 1, 3, 0, 0, 1, 4])},
    ),
    "padding that makes it wider": ([conv(3, pads=[2, 5, 2, 2], strides=[1, 2])], conv_weights(3)),
    "wider, then narrower": (
        [
            helper.make_node("Pad", ["h", "pads"], ["p"]),
            helper.make_node("Conv", ["p", "w2", "b2"], ["q"], kernel_shape=[3, 3], strides=[2, 2]),
            helper.make_node("Conv", ["q", "w2", "b2"], ["g"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        ],
        {**conv_weights(3), "pads": np.array([0, 0, 0, 2, 0, 0, 0, 5])},
    ),
    "max pool that rounds up": (
        [helper.make_node("MaxPool", ["h"], ["g"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)],
        {},
    ),
    "small max pool that rounds up": (
        [helper.make_node("MaxPool", ["h"], ["g"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)],
        {},
    ),
    "padded max pool that rounds up": (
        [
            helper.make_node("Neg", ["h"], ["n"]),
            helper.make_node(
                "MaxPool", ["n"], ["p"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1
            ),
            helper.make_node("Conv", ["p", "w2", "b2"], ["g"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        ],
        conv_weights(3),
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
    "mean without the axes": (
        [
            helper.make_node("ReduceMean", ["h"], ["m"], axes=[-2, -1], keepdims=0),
            helper.make_node("Reshape", ["m", "gate"], ["m4"]),
            helper.make_node("Mul", ["h", "m4"], ["g"]),
        ],
        {"gate": np.array([0, -1, 1, 1])},
    ),
    "mean at a stride": (
        [
            helper.make_node("Conv", ["h", "w2", "b2"], ["c"], kernel_shape=[3, 3], strides=[2, 2]),
            helper.make_node("GlobalAveragePool", ["c"], ["m"]),
            helper.make_node("Mul", ["c", "m"], ["g"]),
        ],
        conv_weights(3),
    ),
}


def exact_graph(name: str) -> onnx.ModelProto:
    nodes, weights = EXACT[name]
    return graph(*copy.deepcopy(nodes), weights=weights)  # passes edit in place


@pytest.mark.parametrize("name", EXACT)
def test_padding_has_no_effect(name: str) -> None:
    assert largest_difference(exact_graph(name)) < 1e-5


@pytest.mark.parametrize("opset", [12, 18])
@pytest.mark.parametrize("name", ["squeeze and excitation", "mean without the axes", "5x5 of stride 3"])
def test_padding_has_no_effect_where_axes_are_attributes_or_inputs(name: str, opset: int) -> None:
    made = exact_graph(name)
    made.opset_import[0].version = min(opset, 17)
    if opset > 17:
        made = onnx.version_converter.convert_version(made, opset)
    assert largest_difference(made) < 1e-5


@pytest.mark.parametrize("name", ["3x3", "max pool that rounds up", "wider, then narrower", "squeeze and excitation"])
def test_lines_of_few_columns(name: str) -> None:
    """Each reads the same in batches of different widths, even one that is all border."""
    masked = mask_widths(exact_graph(name))
    line = np.random.default_rng(3).normal(size=(1, 3, 48, 128)).astype(np.float32)
    for width in (1, 2, 3, 7, 15):
        found = []
        for batch_width in (16, 64, 128):
            batch = np.where(np.arange(batch_width) < width, line[..., :batch_width], np.float32(0))
            together, steps = run(masked, {"x": batch, "widths": np.array([width], np.int32)})
            found.append(together[0, : max(0, steps[0])])
        for one in found[1:]:
            np.testing.assert_allclose(one, found[0], atol=1e-5)


@pytest.mark.parametrize("value", [0.0, -1.0, 1e30, -np.inf, np.inf])
def test_pixels_do_not_decide_what_is_counted(value: float) -> None:
    widths = np.array([128, 100, 1, 33], np.int32)
    _, steps = run(
        mask_widths(exact_graph("stride 2")), {"x": np.full((4, 3, 48, 128), value, np.float32), "widths": widths}
    )
    assert steps.tolist() == [-(-int(width) // 4) for width in widths]


LOOKS_AT_SIZES = {"ConstantOfShape", "Expand", "NonZero", "Range", "Shape", "Size", "Tile"}


def added(masked: onnx.ModelProto, plain: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Nodes of the masked graph that the plain one has not."""
    before = {node.name or node.output[0] for node in plain.graph.node}
    return [node for node in masked.graph.node if (node.name or node.output[0]) not in before]


def check_that_no_shape_depends_on_a_value(masked: onnx.ModelProto, plain: onnx.ModelProto) -> None:
    more = Counter(node.op_type for node in masked.graph.node) - Counter(node.op_type for node in plain.graph.node)
    assert more["CumSum"] == 1
    assert not LOOKS_AT_SIZES & set(more)
    constants = {item.name for item in masked.graph.initializer}
    for node in added(masked, plain):
        if node.op_type in {"Reshape", "Slice", "Pad", "CumSum"}:
            assert set(node.input[1:]) <= constants, f"{node.op_type} {node.name} is told where at run time"


@pytest.mark.parametrize("name", EXACT)
def test_no_shape_depends_on_a_value(name: str) -> None:
    plain = exact_graph(name)
    check_that_no_shape_depends_on_a_value(mask_widths(copy.deepcopy(plain)), plain)


def test_one_mask_serves_a_resolution() -> None:
    nodes = [
        helper.make_node("Conv", ["h", "w2", "b2"], ["c0"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        *(
            helper.make_node("Conv", [f"c{at}", "w2", "b2"], [f"c{at + 1}"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            for at in range(5)
        ),
        helper.make_node("Identity", ["c5"], ["g"]),
    ]
    plain = graph(*nodes, weights=conv_weights(3))
    more = Counter(node.op_type for node in added(mask_widths(copy.deepcopy(plain)), plain))
    assert more["Slice"] == 3, "one row of the input, and one stride after the other"
    assert more["Mul"] == 6
    assert largest_difference(plain) < 1e-5


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
    plain = graph(*attention(rows), weights=constants)
    check_that_no_shape_depends_on_a_value(mask_widths(copy.deepcopy(plain)), plain)
    assert largest_difference(plain) < 1e-5


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (helper.make_node("InstanceNormalization", ["h", "s", "s"], ["g"]), "InstanceNormalization"),
        (helper.make_node("CumSum", ["h", "axis"], ["g"]), "CumSum"),
        (
            helper.make_node("AveragePool", ["h"], ["g"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            "averages over padding",
        ),
        (
            helper.make_node("AveragePool", ["h"], ["g"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
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
