"""FP16 by the graph: an FP32 graph -> a mixed-precision one, strongly typed, that keeps its inputs and outputs.

Every node gets one float type (`ocrhpi.export.precisions`); a tensor that is wanted in the other one is cast once, for
all its consumers. It is the only FP16 of engines that take types from the graph, and the same for all others.

`emulate_half` makes of that a graph as a CPU can run it honestly. Where ONNX Runtime has no FP16 kernel for the CPU it
computes in FP32 and, between two such nodes, leaves out the rounding; so neither the rounding of activations nor their
overflow would show. Here both are nodes of the graph, which ONNX Runtime keeps (casts that lose precision are never
removed). Sums within an operator are in FP32, as on GPUs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ocrhpi.export.passes import GraphEditor
from ocrhpi.export.precisions import MOVES, SIZES, Precision, constants_of, element_types, plan_precisions
from ocrhpi.graph_facts import PRECISION_KEY

if TYPE_CHECKING:
    from collections.abc import Collection

    from onnx import ModelProto, NodeProto

_EXACT = MOVES | SIZES | {"Cast", "Constant"}


def emulate_half(model: ModelProto) -> ModelProto:
    """Return a copy of a graph that `ocrhpi.export.fp16.to_half` made, to be run without graph optimisation.

    Raises:
        ValueError: The type of a tensor cannot be inferred.
    """
    import onnx  # noqa: PLC0415 - only the exporter needs it

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return _Emulator(copy).run()


class _Emulator:
    def __init__(self, model: ModelProto) -> None:
        from onnx import TensorProto  # noqa: PLC0415

        self._model = model
        self._single, self._half = int(TensorProto.FLOAT), int(TensorProto.FLOAT16)
        self._halves = {name for name, kind in element_types(model).items() if kind == self._half}
        self._constants = constants_of(model)
        self._editor = GraphEditor(model, "emulated")
        self._rounded: dict[str, str] = {}
        self._widened: dict[str, str] = {}

    def run(self) -> ModelProto:
        for node in self._model.graph.node:
            exact = node.op_type in _EXACT
            for position, name in enumerate(node.input):
                if name in self._halves:
                    rounded = self._rounded.get(name, name)
                    node.input[position] = rounded if exact else self._widen(rounded)
            if not exact:
                self._round(node)
        self._editor.finish()
        return self._model

    def _round(self, node: NodeProto) -> None:
        for name in node.output:
            if name in self._halves:
                self._rounded[name] = self._editor.node("Cast", [name], to=self._half)

    def _widen(self, tensor: str) -> str:
        if tensor not in self._widened:
            value = self._constants.get(tensor)
            self._widened[tensor] = (
                self._editor.node("Cast", [tensor], to=self._single)
                if value is None
                else self._editor.constant(value.astype(np.float32))
            )
        return self._widened[tensor]


def to_half(model: ModelProto, single_operators: Collection[str] = ()) -> ModelProto:
    """Turn a graph of any form into its mixed-precision form, in place; one that is already is left as it is.

    Args:
        model: A graph in FP32.
        single_operators: Operators to leave in FP32 besides those that always are.

    Raises:
        ValueError: The graph has control flow, or a tensor whose type cannot be inferred.
    """
    if any((item.key, item.value) == (PRECISION_KEY, Precision.HALF.value) for item in model.metadata_props):
        return model
    return _Halver(model, single_operators).run()


class _Halver:
    def __init__(self, model: ModelProto, single_operators: Collection[str]) -> None:
        from onnx import TensorProto  # noqa: PLC0415 - only the exporter needs it

        self._model = model
        types = element_types(model)
        self._precisions = plan_precisions(model, types, single_operators)
        self._floats = {name for name, kind in types.items() if kind == TensorProto.FLOAT}
        self._constants = constants_of(model)
        self._editor = GraphEditor(model, "half")
        self._outputs = {item.name for item in model.graph.output}
        self._made: dict[tuple[str, Precision], str] = {}
        self._element_type = {Precision.HALF: TensorProto.FLOAT16, Precision.SINGLE: TensorProto.FLOAT}

    def run(self) -> ModelProto:
        for node in self._model.graph.node:
            precision = self._precisions.get(node.output[0])
            if precision is not None:
                self._convert(node, precision)
        self._editor.finish()
        self._model.metadata_props.add(key=PRECISION_KEY, value=Precision.HALF.value)
        return self._model

    def _convert(self, node: NodeProto, precision: Precision) -> None:
        for position, name in enumerate(node.input):
            if name in self._floats:
                node.input[position] = self._as(name, precision)
        if precision is Precision.SINGLE:
            return
        if node.op_type == "Cast":
            next(item for item in node.attribute if item.name == "to").i = self._element_type[precision]
        for position, name in enumerate(node.output):
            if name in self._outputs & self._floats:
                node.output[position] = f"{name}.half"
                self._made[name, Precision.HALF] = node.output[position]
                self._made[name, Precision.SINGLE] = self._editor.node(
                    "Cast", [node.output[position]], name, to=self._element_type[Precision.SINGLE]
                )

    def _as(self, tensor: str, wanted: Precision) -> str:
        """Return the name of ``tensor`` in the precision ``wanted``."""
        key = (tensor, wanted)
        if key not in self._made:
            if tensor in self._constants:
                half = wanted is Precision.HALF
                made = self._editor.constant(self._constants[tensor].astype(np.float16)) if half else tensor
            elif self._precisions.get(tensor, Precision.SINGLE) is wanted:
                made = tensor
            else:
                made = self._cast(tensor, wanted)
            self._made[key] = made
        return self._made[key]

    def _cast(self, tensor: str, wanted: Precision) -> str:
        producer = self._editor.producers.get(tensor)
        if producer is not None and producer.op_type == "Cast":
            tensor = producer.input[0]  # the source again, instead of two casts in a row
        return self._editor.node("Cast", [tensor], to=self._element_type[wanted])
