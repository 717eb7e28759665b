"""FP16 by the graph: an FP32 graph -> a mixed-precision one, strongly typed, that keeps its inputs and outputs.

Convolutions, matrix products and pools of a fixed window compute in FP16: there the time is, and engines sum in FP32.
Normalisations, softmax, reductions, powers, roots, exponentials, the top-1 head and every operator not named here
compute in FP32. Element-wise operators and data movement follow their neighbours, so that a normalisation written as a
dozen nodes is in FP32 as a whole, and a convolution with its activation in FP16. A tensor that is wanted in the other
type is cast once, for all its consumers. It is the only FP16 of engines that take types from the graph, and the same
for all others.

`emulate_half` makes of that a graph as a CPU can run it honestly. Where ONNX Runtime has no FP16 kernel for the CPU it
computes in FP32 and, between two such nodes, leaves out the rounding; so neither the rounding of activations nor their
overflow would show. Here both are nodes of the graph, which ONNX Runtime keeps (casts that lose precision are never
removed). Sums within an operator are in FP32, as on GPUs.
"""

from __future__ import annotations

from collections import defaultdict
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from ocrhpi.export.passes import GraphEditor
from ocrhpi.model.graph_facts import PRECISION_KEY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    import numpy.typing as npt
    from onnx import ModelProto, NodeProto

_MATRIX = frozenset({"AveragePool", "Conv", "ConvTranspose", "Gemm", "MatMul"})
_ELEMENTWISE = frozenset(
    {"Abs", "Add", "Clip", "Div", "Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Max", "Min", "Mul"}
    | {"Neg", "PRelu", "Relu", "Sigmoid", "Sub", "Sum", "Tanh", "Where"}
)
MOVES = frozenset(
    {"Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Pad", "Reshape", "Slice"}
    | {"SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"}
)
"""Operators whose results are values of their inputs: exact in any precision."""

SIZES = frozenset({"Shape", "Size"})
"""Operators that do not look at values."""

_HALF_MAX = float(np.finfo(np.float16).max)  # 65504
_HALF_MIN = float(np.finfo(np.float16).smallest_subnormal)  # 6e-8


class Precision(Enum):
    """What a node computes in."""

    HALF = "fp16"
    SINGLE = "fp32"
    EITHER = "exact in both"


def plan_precisions(
    model: ModelProto, types: Mapping[str, int], single_operators: Collection[str] = ()
) -> dict[str, Precision]:
    """Return `Precision.HALF` or `Precision.SINGLE` for every output of every node that computes with FP32 numbers.

    Args:
        model: A graph in FP32.
        types: Its `element_types`.
        single_operators: Operators to leave in FP32 besides.

    Raises:
        ValueError: The graph has control flow.
    """
    return _Planner(model, types, single_operators).run()


def element_types(model: ModelProto) -> dict[str, int]:
    """Return the ONNX element type of every tensor of the graph.

    Raises:
        ValueError: Type inference does not find one.
    """
    import onnx  # noqa: PLC0415 - only the exporter needs it

    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {item.name: item.type.tensor_type.elem_type for item in (*graph.value_info, *graph.output, *graph.input)}
    types |= {item.name: item.data_type for item in graph.initializer}
    for node in graph.node:
        unknown = [name for name in node.output if name and not types.get(name)]
        if unknown:
            raise ValueError(f"ONNX infers no type for the output {unknown[0]!r} of {node.op_type} {node.name}")
    return types


def constants_of(model: ModelProto) -> dict[str, npt.NDArray[np.generic]]:
    """Return the values of all constant tensors of the graph."""
    from onnx import numpy_helper  # noqa: PLC0415

    values = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return values


class _Planner:
    def __init__(self, model: ModelProto, types: Mapping[str, int], single_operators: Collection[str]) -> None:
        from onnx import TensorProto  # noqa: PLC0415

        self._graph = model.graph
        self._constants = constants_of(model)
        self._single_operators = single_operators
        self._floats = {name for name, kind in types.items() if kind == TensorProto.FLOAT}
        self._bools = {name for name, kind in types.items() if kind == TensorProto.BOOL}
        self._outputs = {item.name for item in model.graph.output}
        self._consumers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in model.graph.node:
            for name in dict.fromkeys(node.input):
                self._consumers[name].append(node)
        self._found: dict[str, Precision] = {}

    def run(self) -> dict[str, Precision]:
        for node in self._graph.node:
            if self._computes(node):
                self._found.update(dict.fromkeys(node.output, self._precision(node)))
        for node in reversed(self._graph.node):
            if self._found.get(node.output[0]) is Precision.EITHER:
                self._found.update(dict.fromkeys(node.output, self._wanted(node)))
        return self._found

    def _computes(self, node: NodeProto) -> bool:
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise ValueError(f"{node.op_type} {node.name} is control flow, which has no FP16 form")
        if self._floats.isdisjoint(node.output):
            # Casts to other types take either precision, too.
            return node.op_type not in SIZES | {"Cast"} and not self._floats.isdisjoint(node.input)
        return node.op_type != "Constant"

    def _precision(self, node: NodeProto) -> Precision:
        if node.op_type == "Cast":  # 0 and 1 are exact in FP16, counts of columns are not
            return Precision.EITHER if node.input[0] in self._bools else Precision.SINGLE
        if self._must_be_single(node):
            return Precision.SINGLE
        if node.op_type in _MATRIX:
            return Precision.HALF
        arriving = {self._found.get(name, Precision.SINGLE) for name in self._computed_inputs(node)} - {
            Precision.EITHER
        }
        if not arriving:
            return Precision.EITHER
        if arriving == {Precision.HALF} or (arriving == {Precision.SINGLE} and node.op_type in _ELEMENTWISE):
            return arriving.pop()
        return Precision.SINGLE if self._leads_to_single(node) else Precision.HALF

    def _must_be_single(self, node: NodeProto) -> bool:
        if node.op_type not in _MATRIX | _ELEMENTWISE | MOVES or node.op_type in self._single_operators:
            return True
        if node.op_type == "Mul" and node.input[0] == node.input[1]:
            return True  # a square: FP16 ends at 255 squared
        constants = (self._constants[name] for name in node.input if name in self._constants and name in self._floats)
        return not all(map(_fits_half, constants))

    def _computed_inputs(self, node: NodeProto) -> Iterable[str]:
        return (name for name in node.input if name in self._floats and name not in self._constants)

    def _leads_to_single(self, node: NodeProto) -> bool:
        """Whether any consumer must be in FP32, directly or behind data movement; the outputs of the graph are."""
        if not self._outputs.isdisjoint(node.output):
            return True
        consumers = [consumer for name in node.output for consumer in self._consumers[name]]
        return any(
            self._computes(consumer)
            and (self._must_be_single(consumer) or (consumer.op_type in MOVES and self._leads_to_single(consumer)))
            for consumer in consumers
        )

    def _wanted(self, node: NodeProto) -> Precision:
        consumers = [consumer for name in node.output for consumer in self._consumers[name]]
        wanted = {self._found.get(consumer.output[0]) for consumer in consumers}
        return Precision.HALF if Precision.HALF in wanted else Precision.SINGLE


def _fits_half(value: npt.NDArray[np.generic]) -> bool:
    """Whether FP16 can hold a constant: it neither overflows nor vanishes as a whole."""
    magnitudes = np.abs(value[np.isfinite(value)])
    largest = float(magnitudes.max(initial=0.0))
    return largest <= _HALF_MAX and (largest == 0.0 or largest >= _HALF_MIN)


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
