"""Editing an ONNX graph: look-ups that keep up with changes, and node building with unique names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from onnx import ModelProto, NodeProto


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
