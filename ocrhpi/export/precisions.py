"""Which nodes of a graph compute in FP16 and which in FP32.

Convolutions, matrix products and pools of a fixed window compute in FP16: there the time is, and engines sum in FP32.
Normalisations, softmax, reductions, powers, roots, exponentials, the top-1 head and every operator not named here
compute in FP32. Element-wise operators and data movement follow their neighbours, so that a normalisation written as a
dozen nodes is in FP32 as a whole, and a convolution with its activation in FP16.
"""

from __future__ import annotations

from collections import defaultdict
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

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
