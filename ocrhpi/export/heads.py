"""Top-1 heads: the reduction of probabilities to class and probability per time step, inside the graph.

Which form is fastest differs by engine, batch and vocabulary, and the obvious one is not it, so the form is measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np

from ocrhpi.export.graph import GraphEditor, attribute
from ocrhpi.export.passes import PROBABILITIES_NAME, STEPS_NAME
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
