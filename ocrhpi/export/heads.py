"""The two ends of a graph: the reduction of probabilities to top-1 in it, and uint8 pixels as its input.

Heads: which form is fastest differs by engine, batch and vocabulary, and the obvious one is not it, so the form is
measured.

Pixels: a pass moves normalisation and padding into the graph. The graph then takes ``pixels``, uint8 (N, H, W, 3), a
quarter of the bytes of the float tensor, and ``contents``, int32 (N,): how many columns of each line hold its pixels.
The arithmetic is that of `ocrhpi.recognition.tensors.to_tensor`, in its order and in FP32, so the network sees the same
bits; columns beyond the content are zero, whatever they held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np

from ocrhpi.export.passes import (
    CONTENTS_NAME,
    INPUT_NAME,
    PIXELS_NAME,
    PROBABILITIES_NAME,
    STEPS_NAME,
    GraphEditor,
    attribute,
)
from ocrhpi.values import Head

if TYPE_CHECKING:
    from onnx import ModelProto

HEADS: tuple[Head, ...] = get_args(Head)


def add_head(model: ModelProto, head: Head) -> ModelProto:
    """Give a graph that ends in the probabilities (and, if masked, the steps) the head ``head``, in place.

    Raises:
        ValueError: ``logits`` was asked for, and the graph does not end in a softmax over the classes.
    """
    if head == "full":
        return model
    editor = GraphEditor(model, "head")
    build = {"topk": _topk, "argmax": _argmax, "logits": _logits}[head]
    indices, probs = build(editor)
    editor.node("Cast", [indices], "indices", to=_type("INT32"))
    editor.node("Identity", [probs], "probs")
    shape = ("N", "T")
    kept = [(item.name, _type("INT32"), ("N",)) for item in model.graph.output if item.name == STEPS_NAME]
    editor.set_outputs([("indices", _type("INT32"), shape), ("probs", _type("FLOAT"), shape), *kept])
    editor.finish()
    return model


def _type(name: str) -> int:
    from onnx import TensorProto  # noqa: PLC0415

    return int(TensorProto.DataType.Value(name))


def _topk(editor: GraphEditor) -> tuple[str, str]:
    one = editor.constant(np.array([1], np.int64))
    shape = editor.constant(np.array([0, -1], np.int64))  # (N, T, 1) -> (N, T)
    values, indices = editor.node_with_outputs("TopK", [PROBABILITIES_NAME, one], 2, axis=-1)
    return editor.node("Reshape", [indices, shape]), editor.node("Reshape", [values, shape])


def _argmax(editor: GraphEditor) -> tuple[str, str]:
    indices = editor.node("ArgMax", [PROBABILITIES_NAME], axis=-1, keepdims=0)
    return indices, editor.reduce("ReduceMax", PROBABILITIES_NAME, (-1,), keepdims=False)


def _logits(editor: GraphEditor) -> tuple[str, str]:
    softmax = editor.producers.get(PROBABILITIES_NAME)
    if softmax is None or softmax.op_type != "Softmax" or attribute(softmax, "axis", -1) not in {-1, 2}:
        ending = "an input" if softmax is None else softmax.op_type
        raise ValueError(f"the head 'logits' needs a graph that ends in a Softmax over the classes, got {ending}")
    logits = softmax.input[0]
    indices = editor.node("ArgMax", [logits], axis=-1, keepdims=0)
    largest = editor.reduce("ReduceMax", logits, (-1,))
    exponentials = editor.node("Exp", [editor.node("Sub", [logits, largest])])
    return indices, editor.node("Reciprocal", [editor.reduce("ReduceSum", exponentials, (-1,), keepdims=False)])


_WIDTH_AXIS = 2  # of (N, H, W, 3)


def take_pixels(model: ModelProto) -> ModelProto:
    """Replace the input ``x`` by ``pixels`` and ``contents``, in place; other inputs stay behind them.

    Raises:
        ValueError: The first input of the graph is not ``x``.
    """
    from onnx import TensorProto, helper  # noqa: PLC0415 - only the exporter needs it

    graph = model.graph
    if graph.input[0].name != INPUT_NAME:
        raise ValueError(f"expected a graph whose first input is {INPUT_NAME!r}, got {graph.input[0].name!r}")
    sizes = graph.input[0].type.tensor_type.shape.dim
    rows, channels, height, width = (size.dim_value or size.dim_param for size in sizes)
    inputs = [
        helper.make_tensor_value_info(PIXELS_NAME, TensorProto.UINT8, (rows, height, width, channels)),
        helper.make_tensor_value_info(CONTENTS_NAME, TensorProto.INT32, (rows,)),
        *graph.input[1:],
    ]
    del graph.input[:]
    graph.input.extend(inputs)
    editor = GraphEditor(model, "pixels")
    # Nothing but this Cast reads the bytes: TensorRT takes uint8 into casts only.
    values = editor.node("Cast", [PIXELS_NAME], to=TensorProto.FLOAT)
    planes = editor.node("Transpose", [values], perm=[0, 3, 1, 2])
    nothing = editor.constant(np.array(0, np.float32))
    # Where, not a product with 0: that would make -0 of negative values.
    editor.node("Where", [_inside(editor, values), _normalised(editor, planes), nothing], INPUT_NAME)
    editor.finish()
    return model


def _normalised(editor: GraphEditor, values: str) -> str:
    """Return (values / 255 - 0.5) / 0.5."""
    half = editor.constant(np.array(0.5, np.float32))
    scaled = editor.node("Div", [values, editor.constant(np.array(255, np.float32))])
    return editor.node("Div", [editor.node("Sub", [scaled, half]), half])


def _inside(editor: GraphEditor, values: str) -> str:
    """Return (N, 1, 1, W), bool: whether a column of the values, (N, H, W, 3), holds pixels of its line."""
    from onnx import TensorProto  # noqa: PLC0415

    zero, one, axis = (editor.constant(np.array(value, np.int64)) for value in (0, 1, _WIDTH_AXIS))
    width = editor.node("Gather", [editor.node("Shape", [values]), axis], axis=0)
    contents = editor.node("Cast", [CONTENTS_NAME], to=TensorProto.INT64)
    limits = editor.node("Reshape", [contents, editor.constant(np.array([-1, 1, 1, 1], np.int64))])
    return editor.node("Less", [editor.node("Range", [zero, width, one]), limits])
