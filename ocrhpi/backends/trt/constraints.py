"""Precisions of a mixed graph for TensorRT 8, which has no strongly typed networks.

There the types in the graph are a wish: with FP16 allowed, any layer may run in it. So every layer gets the precision
that its input has in the graph, as a constraint that the builder obeys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ocrhpi.backends.trt.names import Network, TensorRt

_TYPED_BY_OUTPUT = ("CAST", "CONSTANT", "IDENTITY")  # the parser makes either CAST or IDENTITY of a Cast


def constrain_precisions(trt: TensorRt, network: Network) -> None:
    """Bind each layer with floating-point outputs to the precision that it has in the graph."""
    halves = _inputs_in_half(trt, network)
    kept = {getattr(trt.LayerType, name) for name in _TYPED_BY_OUTPUT if hasattr(trt.LayerType, name)}
    for number in range(network.num_layers):
        layer = network.get_layer(number)
        outputs = [layer.get_output(index) for index in range(layer.num_outputs)]
        if layer.type in kept:
            halves |= {tensor.name for tensor in outputs if tensor.dtype == trt.DataType.HALF}
        elif any(_is_floating(trt, tensor) for tensor in outputs):
            half = _runs_in_half(trt, layer, halves)
            _constrain(trt, layer, trt.DataType.HALF if half else trt.DataType.FLOAT)
            halves |= {tensor.name for tensor in outputs if half and _is_floating(trt, tensor)}


def _inputs_in_half(trt: TensorRt, network: Network) -> set[str]:
    inputs = (network.get_input(number) for number in range(network.num_inputs))
    return {tensor.name for tensor in inputs if tensor.dtype == trt.DataType.HALF}


def _runs_in_half(trt: TensorRt, layer: Any, halves: set[str]) -> bool:  # noqa: ANN401 - TensorRT is untyped
    """Tell whether all floating-point inputs are FP16; a layer without any has no reason to be."""
    inputs = (layer.get_input(index) for index in range(layer.num_inputs))
    floating = [tensor.name in halves for tensor in inputs if tensor is not None and _is_floating(trt, tensor)]
    return bool(floating) and all(floating)


def _constrain(trt: TensorRt, layer: Any, kind: Any) -> None:  # noqa: ANN401
    layer.precision = kind
    for index in range(layer.num_outputs):
        if _is_floating(trt, layer.get_output(index)):
            layer.set_output_type(index, kind)


def _is_floating(trt: TensorRt, tensor: Any) -> bool:  # noqa: ANN401
    return tensor.dtype in (trt.DataType.FLOAT, trt.DataType.HALF)
