"""INT8 by the graph: pairs of QuantizeLinear and DequantizeLinear around the layers that are to compute in INT8.

Activations are unsigned, weights signed and symmetric with a scale for each output channel, so that their products have
no zero point to carry. This is what CPUs multiply fastest (VNNI), and what both OpenVINO and ONNX Runtime recognise:
Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018.

Two things keep small networks readable: a depthwise convolution has a scale for each channel of its input, whose
channels differ most; and biases make up for what the rounding of weights does to the mean of each output channel (Nagel
et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019).

A layer is an operator with nearly all of the arithmetic, with the lesser ones that follow it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ocrhpi.export.masking import WidthProbe
from ocrhpi.export.passes import GraphEditor, attribute

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import numpy.typing as npt
    from onnx import ModelProto, NodeProto

    from ocrhpi.quantization.statistics import LayerStatistics

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


_LEVELS = 255
_LARGEST = 127

MIN_OPSET = 13
"""The first version of the operators with a scale for each channel."""


def opset_of(model: ModelProto) -> int:
    """Return the version of ONNX's own operators."""
    return max(int(item.version) for item in model.opset_import if item.domain in {"", "ai.onnx"})


def quantization(
    low: npt.NDArray[np.floating], high: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Return scales and zero points of ranges, widened so that each holds 0: padding needs that exactly."""
    low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    scale = ((high - low) / _LEVELS).astype(np.float32)
    scale = np.where(scale > 0, scale, np.float32(1)).astype(np.float32)
    return scale, np.clip(np.rint(-low / scale), 0, _LEVELS).astype(np.uint8)


def quantize(model: ModelProto, layers: Mapping[str, LayerStatistics], *, between_pairs: bool = False) -> ModelProto:
    """Let layers compute in INT8, in place.

    Args:
        model: A graph in FP32, of any form.
        layers: Output tensor of each layer that is to be in INT8 -> the values that go in and out.
        between_pairs: For engines that compute a layer in INT8 only if its output is rounded, too, and that know no
            scales for the channels of an input.

    Raises:
        ValueError: The operators of the graph are of a version without scales for each channel, or a layer in
            ``layers`` has no constant weights.
    """
    if opset_of(model) < MIN_OPSET:
        raise ValueError(f"the graph has opset {opset_of(model)}, expected at least {MIN_OPSET} for INT8")
    return _Quantizer(model, between_pairs=between_pairs).run(layers)


class _Weights(NamedTuple):
    """Weights as INT8 has them.

    Attributes:
        levels: The integers.
        scales: One for each output channel.
        axis: Of the output channels.
        error: What rounding took from each weight, float32.
    """

    levels: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]
    axis: int
    error: npt.NDArray[np.float32]

    @classmethod
    def of(cls, node: NodeProto, value: npt.NDArray[np.float32]) -> _Weights:
        transposed = node.op_type == "Conv" or (node.op_type == "Gemm" and attribute(node, "transB", 0))
        axis = 0 if transposed else value.ndim - 1
        others = tuple(number for number in range(value.ndim) if number != axis)
        largest = np.abs(value).max(axis=others, keepdims=True).astype(np.float32)
        scales = np.where(largest > 0, largest / np.float32(_LARGEST), np.float32(1)).astype(np.float32)
        levels = np.clip(np.rint(value / scales), -_LARGEST, _LARGEST).astype(np.int8)
        return cls(levels, scales.ravel(), axis, value - levels * scales)


class _Quantizer:
    def __init__(self, model: ModelProto, *, between_pairs: bool) -> None:
        self._model = model
        self._between_pairs = between_pairs
        self._editor = GraphEditor(model, "int8")
        self._rounded: dict[tuple[str, bytes], str] = {}

    def run(self, layers: Mapping[str, LayerStatistics]) -> ModelProto:
        for node in list(self._model.graph.node):
            name = node.output[0] if node.output else ""
            if name in layers:
                self._quantize(node, layers[name])
                if self._between_pairs:
                    node.output[0] = f"{name}.exact"
                    self._round(node.output[0], np.array(layers[name].output), name)
        self._editor.finish()
        return self._model

    def _quantize(self, node: NodeProto, values: LayerStatistics) -> None:
        value = self._editor.value(node.input[1])
        if value is None:
            raise ValueError(f"{node.op_type} {node.output[0]} multiplies two computed tensors, which stay in FP32")
        weights = _Weights.of(node, value.astype(np.float32))
        groups = int(attribute(node, "group", 1)) if node.op_type == "Conv" else 1
        by_channel = groups > 1 and weights.levels.shape[1] == 1 and not self._between_pairs
        node.input[0] = self._round(node.input[0], values.channels[:2] if by_channel else np.array(values.input))
        arrays = (weights.levels, weights.scales, np.zeros(len(weights.scales), np.int8))
        constants = [self._editor.constant(array) for array in arrays]
        node.input[1] = self._editor.node("DequantizeLinear", constants, axis=weights.axis)
        if node.op_type == "Conv":
            self._correct_bias(node, weights, values.channels[2], groups)

    def _round(self, tensor: str, limits: npt.NDArray[np.floating], result: str | None = None) -> str:
        """Return the tensor rounded to the levels of a range, or one a channel; one pair serves all readers."""
        scale, zero = quantization(limits[0], limits[1])
        key = (tensor, scale.tobytes() + zero.tobytes())
        if key not in self._rounded:
            parameters = [self._editor.constant(scale), self._editor.constant(zero)]
            axis: dict[str, Any] = {"axis": 1} if scale.ndim else {}
            levels = self._editor.node("QuantizeLinear", [tensor, *parameters], **axis)
            self._rounded[key] = self._editor.node("DequantizeLinear", [levels, *parameters], result, **axis)
        return self._rounded[key]

    def _correct_bias(self, node: NodeProto, weights: _Weights, means: npt.NDArray[np.float32], groups: int) -> None:
        """Add to the bias what the error of the weights takes from the mean of each output channel."""
        given = self._editor.value(node.input[2]) if len(node.input) > 2 else np.float32(0)  # noqa: PLR2004
        if given is None:
            return
        error = weights.error.reshape(*weights.error.shape[:2], -1).sum(axis=2)  # (outputs, inputs of a group)
        outputs = len(error) // groups
        inputs = means.reshape(groups, -1).repeat(outputs, axis=0)  # what each output channel sees
        bias = (given + (error * inputs).sum(axis=1)).astype(np.float32)
        node.input[:] = [*node.input[:2], self._editor.constant(bias)]
