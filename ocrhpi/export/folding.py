"""Constant factors and summands behind convolutions, folded into their weights and biases; changes no result.

The blocks of PP-LCNetV3 scale and shift every convolution's output by learned scalars. OpenVINO folds them itself,
ONNX Runtime does not; and a layer can only be given a precision of its own where no engine has to replace its node.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from ocrhpi.export.graph import GraphEditor

if TYPE_CHECKING:
    import numpy.typing as npt
    from onnx import ModelProto, NodeProto


def fold_scales(model: ModelProto) -> ModelProto:
    """Fold each ``Mul`` and ``Add`` by one constant, or one a channel, into the convolution before it, in place."""
    editor = GraphEditor(model, "folded")
    consumers: dict[str, list[NodeProto]] = defaultdict(list)
    for node in model.graph.node:
        for name in dict.fromkeys(node.input):
            consumers[name].append(node)
    outputs = {item.name for item in model.graph.output}
    for node in list(model.graph.node):
        if node.op_type == "Conv":
            while node.output[0] not in outputs and len(consumers[node.output[0]]) == 1:
                if not _fold(editor, node, consumers[node.output[0]][0]):
                    break
    editor.finish()
    return model


def _fold(editor: GraphEditor, conv: NodeProto, follower: NodeProto) -> bool:
    """Take one operator into the convolution; False if it cannot be."""
    weights = editor.value(conv.input[1])
    others = [name for name in follower.input if name != conv.output[0]]
    if follower.op_type not in {"Mul", "Add"} or weights is None or len(others) != 1:
        return False
    given = editor.value(conv.input[2]) if len(conv.input) > 2 else np.zeros(len(weights), np.float32)  # noqa: PLR2004
    values = _per_channel(editor.value(others[0]), len(weights))
    if given is None or values is None:
        return False
    if follower.op_type == "Mul":
        by_channel = values.reshape(-1, *[1] * (weights.ndim - 1))
        weights, bias = np.multiply(weights, by_channel), np.multiply(given, values)
    else:
        bias = np.add(given, values)
    conv.input[:] = [conv.input[0], editor.constant(weights), editor.constant(bias)]
    # The follower keeps its node, which nothing needs any more, under another name.
    conv.output[0], follower.output[0] = follower.output[0], f"{follower.output[0]}.folded"
    editor.producers[conv.output[0]] = conv
    return True


def _per_channel(value: npt.NDArray[np.generic] | None, channels: int) -> npt.NDArray[np.float32] | None:
    """Return one number a channel; None if the constant has another shape, or there is none."""
    if value is None or value.dtype != np.float32 or value.ndim > 4:  # noqa: PLR2004 - maps are (N, C, H, W)
        return None
    if value.size != 1 and (value.ndim < 3 or value.shape[-3] != channels or value.size != channels):  # noqa: PLR2004
        return None
    return np.broadcast_to(value.reshape(-1), (channels,)).astype(np.float32)
