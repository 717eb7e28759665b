"""The layers of a graph: operators with nearly all of the arithmetic, each with the lesser ones that follow it."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrhpi.export.widths import WidthProbe

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from onnx import ModelProto, NodeProto

_OPERATORS = frozenset({"Conv", "Gemm", "MatMul"})


@dataclass(frozen=True)
class Layer:
    """One convolution or matrix product.

    Attributes:
        name: Its output tensor, which every form of a model's graph has.
        operator: ``Conv``, ``MatMul`` or ``Gemm``.
        weighted: Whether its second operand is constant; the products of attention multiply two computed ones.
        work: Its share of the multiply-adds of all layers.
    """

    name: str
    operator: str
    weighted: bool
    work: float


def find_layers(model: ModelProto) -> tuple[Layer, ...]:
    """Return the layers of a plain graph, in the order of the graph; runs it, to find the sizes of its tensors."""
    probe = WidthProbe(model)
    weights = {item.name: math.prod(item.dims) for item in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type in _OPERATORS]
    work = [_multiply_adds(node, probe, weights) for node in nodes]
    return tuple(
        Layer(node.output[0], node.op_type, node.input[1] in weights, count / sum(work))
        for node, count in zip(nodes, work, strict=True)
    )


def _multiply_adds(node: NodeProto, probe: WidthProbe, weights: Mapping[str, int]) -> int:
    """Count at one width: at any, nearly all of the work is proportional to it."""
    results = _size(node.output[0], probe)
    if node.op_type == "Conv" and node.input[1] in weights:
        return results * weights[node.input[1]] // probe.sizes(node.output[0], 1)[-1]
    return results * probe.sizes(node.input[0], probe.rank(node.input[0]) - 1)[-1]


def _size(tensor: str, probe: WidthProbe) -> int:
    return math.prod(probe.sizes(tensor, axis)[-1] for axis in range(probe.rank(tensor)))


def kept_tensors(model: ModelProto, kept: Collection[str]) -> list[str]:
    """Return the tensors of a graph of any form that are to be in FP32 if the layers ``kept`` are.

    These are the layers themselves and what follows from them, up to the next layer. Of that, what only lowered layers
    read is left out: an engine that fuses it into the layer then writes it in their precision at once. Sums are not: in
    OpenVINO 2026.4 a convolution in FP32 that adds a second tensor and writes BF16 does not run.
    """
    owner = _owners(model)
    readers: dict[str, list[str]] = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            readers[name].append(owner.get(node.output[0], ""))
    tensors = []
    for node in model.graph.node:
        for name in node.output:
            only_lowered = bool(readers[name]) and not any(reader in kept for reader in readers[name])
            if owner.get(name) in kept and (name in kept or node.op_type == "Add" or not only_lowered):
                tensors.append(name)
    return tensors


def _owners(model: ModelProto) -> dict[str, str]:
    """Return for every tensor the layer that it belongs to: the last one that it follows from, if there is one."""
    order: dict[str, int] = {}
    found: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type in _OPERATORS:
            order[node.output[0]] = len(order)
            layer: str | None = node.output[0]
        else:
            arriving = {found[name] for name in node.input if name in found}
            layer = max(arriving, key=order.__getitem__, default=None)
        if layer is not None:
            found.update(dict.fromkeys(node.output, layer))
    return found
