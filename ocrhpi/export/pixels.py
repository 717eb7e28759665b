"""The pixel input: a pass that moves normalisation and padding into the graph.

The graph then takes ``pixels``, uint8 (N, H, W, 3), a quarter of the bytes of the float tensor, and ``contents``, int32
(N,): how many columns of each line hold its pixels. The arithmetic is that of `ocrhpi.recognition.tensors.to_tensor`,
in its order and in FP32, so the network sees the same bits; columns beyond the content are zero, whatever they held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ocrhpi.export.graph import GraphEditor
from ocrhpi.export.passes import CONTENTS_NAME, INPUT_NAME, PIXELS_NAME

if TYPE_CHECKING:
    from onnx import ModelProto

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
