"""Passes on a converted ONNX graph that change no result: mending, simplification, interface, metadata."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from ocrhpi.backends.guest import as_it_was
from ocrhpi.export.graph import GraphEditor, attribute
from ocrhpi.graph_facts import DIRECTION_KEY, EXPORTER_KEY, INPUT_KEY, NAME_KEY, SPACE_KEY, VOCABULARY_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnx import ModelProto

    from ocrhpi.model import Model

INPUT_NAME = "x"
PIXELS_NAME = "pixels"
CONTENTS_NAME = "contents"
PROBABILITIES_NAME = "probabilities"
INDICES_NAME = "indices"
PROBS_NAME = "probs"
WIDTHS_NAME = "widths"
STEPS_NAME = "steps"
FP32_TENSORS_KEY = "fp32_tensors"
"""Metadata of a ``bf16-selective`` graph: the tensors that stay in FP32, one a line."""


def mend_scalar_concats(model: ModelProto) -> ModelProto:
    """Give the inputs of shape-computing Concats rank 1.

    Paddle2ONNX 2.1 writes ``Concat`` of scalars where the old Paddle program stacks 0-dimensional sizes; every engine
    refuses that graph (the real PP-OCRv4_mobile_rec has 22 such inputs). A reshape to [-1] is right for
    rank 0 and changes nothing at rank 1. Concats of shapes have axis 0 and inputs computed from a ``Shape``.
    """
    editor = GraphEditor(model, "mend")
    minus_one = None
    for node in model.graph.node:
        if node.op_type != "Concat" or attribute(node, "axis") != 0 or not _computes_a_shape(editor, node.output[0]):
            continue
        for position, name in enumerate(node.input):
            value = editor.value(name)
            if value is not None and value.ndim == 1:
                continue
            minus_one = minus_one or editor.constant(np.array([-1], np.int64))
            node.input[position] = editor.node("Reshape", [name, minus_one])
    editor.finish()
    return model


def _computes_a_shape(editor: GraphEditor, tensor: str) -> bool:
    """Whether the tensor is the shape operand of a Reshape or Expand, possibly through a cast."""
    for node in editor.graph.node:
        if node.op_type in {"Reshape", "Expand"} and node.input[1] == tensor:
            return True
        if node.op_type in {"Cast", "Identity"} and node.input[0] == tensor:
            return _computes_a_shape(editor, node.output[0])
    return False


def simplify(model: ModelProto) -> ModelProto:
    """Fold constants and batch normalisations, and remove identities and dead nodes, with onnxslim."""
    with as_it_was():
        import onnxslim  # noqa: PLC0415 - only the exporter needs it

    slim: ModelProto = onnxslim.slim(model)
    return slim


def name_interface(model: ModelProto) -> ModelProto:
    """Keep the one output that the first one is, and call input and output by our names.

    Raises:
        ValueError: The graph has not exactly one input and at least one output, or reduces its probabilities itself.
    """
    from onnx import TensorProto  # noqa: PLC0415

    constants = {item.name for item in model.graph.initializer}
    inputs = [item for item in model.graph.input if item.name not in constants]
    names = [item.name for item in inputs]
    if len(inputs) != 1 or not model.graph.output:
        raise ValueError(f"expected a graph with one input and one output, got inputs {names}")
    if {INDICES_NAME, PROBS_NAME} <= {item.name for item in model.graph.output}:
        raise ValueError("expected a graph whose output is probabilities, got one that finds top-1 itself")
    _rename(model, {**_other_names(model), names[0]: INPUT_NAME, model.graph.output[0].name: PROBABILITIES_NAME})
    sizes = inputs[0].type.tensor_type.shape.dim
    for position, dimension in ((0, "N"), (3, "W")):
        if sizes[position].dim_value <= 0:  # exported for any number of lines, and any width
            sizes[position].dim_param = dimension
    del model.graph.input[:]
    model.graph.input.append(inputs[0])
    rows = sizes[0].dim_value or "N"
    editor = GraphEditor(model, "interface")
    editor.set_outputs([(PROBABILITIES_NAME, TensorProto.FLOAT, (rows, "T", "classes"))])
    editor.finish()
    return model


def _other_names(model: ModelProto) -> dict[str, str]:
    """Return other names for tensors that are called as those of our interface are, in whatever form of the graph."""
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
    ours = {INPUT_NAME, PIXELS_NAME, CONTENTS_NAME, WIDTHS_NAME}
    ours |= {PROBABILITIES_NAME, INDICES_NAME, PROBS_NAME, STEPS_NAME}
    renamed = {}
    for name in sorted(ours & taken):
        other = f"other.{name}"
        while other in taken:
            other = f"other.{other}"
        renamed[name] = other
    return renamed


def _rename(model: ModelProto, renamed: Mapping[str, str]) -> None:
    """Rename tensors, all at the same time."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            for position, name in enumerate(names):
                names[position] = renamed.get(name, name)
    for item in (*model.graph.initializer, *model.graph.input):
        item.name = renamed.get(item.name, item.name)


def set_metadata(model: ModelProto, source: Model, exporter: str) -> ModelProto:
    """Write vocabulary, model name and origin into the metadata, so that the file stands alone."""
    from onnx import helper  # noqa: PLC0415

    del model.metadata_props[:]
    helper.set_model_props(
        model,
        {
            VOCABULARY_KEY: "\n".join(source.vocabulary),
            SPACE_KEY: str(source.space).lower(),
            DIRECTION_KEY: str(source.right_to_left).lower(),
            INPUT_KEY: json.dumps(asdict(source.spec)),
            NAME_KEY: source.name,
            "source_sha256": source.fingerprint,
            EXPORTER_KEY: exporter,
        },
    )
    model.producer_name = "ocrhpi"
    return model
