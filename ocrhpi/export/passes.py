"""Editing ONNX graphs: the editor, and the passes that change no result: mending, simplification, metadata, folding.

Constant factors and summands behind convolutions are folded. The blocks of PP-LCNetV3 scale and shift every
convolution's output by learned scalars. OpenVINO folds them itself, ONNX Runtime does not; and a layer can only be
given a precision of its own where no engine has to replace its node.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ocrhpi.backends.guest import as_it_was
from ocrhpi.model.graph_facts import DIRECTION_KEY, EXPORTER_KEY, INPUT_KEY, NAME_KEY, SPACE_KEY, VOCABULARY_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt
    from onnx import ModelProto, NodeProto

    from ocrhpi.model import Model

_AXES_ARE_AN_INPUT = {"ReduceSum": 13}
_AXES_OF_MOST_ARE_AN_INPUT = 18


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:  # noqa: ANN401 - any ONNX attribute
    """Return an attribute of a node as a Python value."""
    from onnx import helper  # noqa: PLC0415

    found = next((item for item in node.attribute if item.name == name), None)
    if found is None:
        return default
    value = helper.get_attribute_value(found)
    return value.decode() if isinstance(value, bytes) else value


class GraphEditor:
    """Inserts nodes into the graph of ``model``, in place.

    New nodes are collected and put into topological order by `finish`.

    Args:
        model: The model to edit.
        prefix: Begins the names of all new tensors.
    """

    def __init__(self, model: ModelProto, prefix: str) -> None:
        self.model = model
        self.graph = model.graph
        self.producers = {output: node for node in self.graph.node for output in node.output}
        self._prefix = prefix
        self._count = 0
        self._added: list[NodeProto] = []

    def constant(self, value: npt.NDArray[np.generic]) -> str:
        """Add a constant; returns the name of its tensor."""
        from onnx import numpy_helper  # noqa: PLC0415

        name = self._name("constant")
        self.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def node(self, operator: str, inputs: Sequence[str], output: str | None = None, **attributes: Any) -> str:  # noqa: ANN401
        """Add a node with one output; returns the name of that tensor."""
        from onnx import helper  # noqa: PLC0415

        output = output or self._name(operator.lower())
        self._added.append(helper.make_node(operator, list(inputs), [output], name=f"{output}.node", **attributes))
        return output

    def node_with_outputs(self, operator: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> list[str]:  # noqa: ANN401
        """Add a node with several outputs; returns the names of their tensors."""
        from onnx import helper  # noqa: PLC0415

        names = [self._name(operator.lower()) for _ in range(outputs)]
        self._added.append(helper.make_node(operator, list(inputs), names, name=f"{names[0]}.node", **attributes))
        return names

    def reduce(self, operator: str, tensor: str, axes: Sequence[int], *, keepdims: bool = True) -> str:
        """Add a reduction over these axes; at some opset they turned from an attribute into an input."""
        opset = max(item.version for item in self.model.opset_import if item.domain in {"", "ai.onnx"})
        if opset < _AXES_ARE_AN_INPUT.get(operator, _AXES_OF_MOST_ARE_AN_INPUT):
            return self.node(operator, [tensor], axes=list(axes), keepdims=int(keepdims))
        return self.node(operator, [tensor, self.constant(np.array(axes, np.int64))], keepdims=int(keepdims))

    def value(self, tensor: str) -> npt.NDArray[np.generic] | None:
        """Return the value of a constant tensor, or None if it is computed."""
        from onnx import numpy_helper  # noqa: PLC0415

        found = next((item for item in self.graph.initializer if item.name == tensor), None)
        if found is None:
            node = self.producers.get(tensor)
            found = attribute(node, "value") if node is not None and node.op_type == "Constant" else None
        return None if found is None else numpy_helper.to_array(found)

    def set_outputs(self, outputs: Sequence[tuple[str, int, Sequence[str | int]]]) -> None:
        """Replace the outputs of the graph by (tensor, ONNX element type, shape)."""
        from onnx import helper  # noqa: PLC0415

        del self.graph.output[:]
        self.graph.output.extend(helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in outputs)

    def finish(self) -> None:
        """Put all nodes into topological order and drop those that no output needs."""
        nodes = [*self._added, *self.graph.node]
        producers = {output: node for node in nodes for output in node.output}
        ordered: list[NodeProto] = []
        done: set[int] = set()
        stack = [producers[item.name] for item in reversed(self.graph.output) if item.name in producers]
        while stack:
            node = stack[-1]
            waiting = [producers[name] for name in node.input if name in producers and id(producers[name]) not in done]
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            if id(node) not in done:
                done.add(id(node))
                ordered.append(node)
        del self.graph.node[:]
        self.graph.node.extend(ordered)
        used = {name for node in ordered for name in node.input} | {item.name for item in self.graph.output}
        kept = [item for item in self.graph.initializer if item.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)
        # Shapes noted for tensors that are gone, or have changed, would contradict the new graph.
        del self.graph.value_info[:]
        self._added = []

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{self._prefix}.{kind}.{self._count}"


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
