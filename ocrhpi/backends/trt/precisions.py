"""Which precision each layer is to have, and really has, as the engine inspector tells.

TensorRT 8 has no strongly typed networks. There the types in the graph are a wish: with FP16 allowed, any layer may run
in it. So every layer gets the precision that its input has in the graph, as a constraint that the builder obeys.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ocrhpi.backends.trt.names import NAME
from ocrhpi.errors import BackendMismatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ocrhpi.backends.trt.names import Engine, Network, TensorRt
    from ocrhpi.values import GraphPrecision

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


# Formats as they are told: "Half" or "Channel major FP16 format where channel % 8 == 0". BFloat16 and Float16 stand
# before Float, which they contain.
_PATTERNS = (
    ("bf16", re.compile(r"bf16|bfloat16", re.IGNORECASE)),
    ("fp8", re.compile(r"fp8|float8", re.IGNORECASE)),
    ("fp16", re.compile(r"fp16|float16|half", re.IGNORECASE)),
    ("fp32", re.compile(r"fp32|float", re.IGNORECASE)),
)
_CONVOLUTION = re.compile(r"conv(?!ert)", re.IGNORECASE)
_TELLING = ("LayerType", "ParameterType", "Name", "Metadata")  # Metadata names the nodes of the graph
_MOVES_DATA = re.compile(r"reformat|noop|constant|shuffle|signal|wait|shape|copy|cast", re.IGNORECASE)


@dataclass(frozen=True)
class LayerPrecisions:
    """Layers by precision; those that only move data are left out.

    Attributes:
        layers: Precision -> how many layers compute in it.
        convolutions: Precision -> how many of them hold a convolution.
    """

    layers: Mapping[str, int]
    convolutions: Mapping[str, int]

    @property
    def shares(self) -> dict[str, float]:
        """Share of layers of each precision, the commonest first."""
        total = sum(self.layers.values())
        return {name: round(count / total, 3) for name, count in Counter(self.layers).most_common()}


def inspect_precisions(trt: TensorRt, engine: Engine) -> LayerPrecisions | None:
    """Ask the engine inspector; None if it does not tell, as for engines that were built without details."""
    information = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    return read_information(information)


def read_information(information: str) -> LayerPrecisions | None:
    """Read the inspector's JSON, of TensorRT 8 to 11."""
    try:
        layers = json.loads(information)["Layers"]
    except (ValueError, KeyError, TypeError):
        return None
    detailed = [layer for layer in layers if isinstance(layer, dict)]
    found = [(_precision(layer), layer) for layer in detailed if not _MOVES_DATA.search(str(layer.get("LayerType")))]
    computing = [(precision, layer) for precision, layer in found if precision]
    if not computing:
        return None
    convolutions = (precision for precision, layer in computing if _has_convolution(layer))
    return LayerPrecisions(Counter(precision for precision, _ in computing), Counter(convolutions))


def verify_precision(precisions: LayerPrecisions | None, asked: GraphPrecision) -> tuple[str, ...]:
    """Compare with what was asked for; return notes.

    Raises:
        BackendMismatch: FP16 was asked for and all convolutions (or without any, all layers) run in FP32, or FP32 was
            asked for and some layer runs in less.
    """
    if precisions is None:
        return ("the engine inspector tells no precisions, so that of the arithmetic is the graph's, unverified",)
    lower = {name: count for name, count in precisions.layers.items() if name != "fp32"}
    if asked == "fp32" and lower:
        raise BackendMismatch(NAME, "precision fp32", f"TensorRT runs {_listed(lower)} of its layers in less")
    what, counts = (
        ("convolutions", precisions.convolutions) if precisions.convolutions else ("layers", precisions.layers)
    )
    if asked == "fp16" and not counts.get("fp16"):
        raise BackendMismatch(NAME, "precision fp16", f"TensorRT runs all {what} otherwise: {_listed(counts)}")
    return ()


def _precision(layer: Mapping[str, Any]) -> str:
    """Return the precision of the first floating-point input, the activations; of the first output if there is none."""
    tensors = (*_tensors(layer, "Inputs"), *_tensors(layer, "Outputs"))
    return next((found for tensor in tensors if (found := _of_tensor(tensor))), "")


def _tensors(layer: Mapping[str, Any], key: str) -> Iterable[Mapping[str, Any]]:
    tensors = layer.get(key) or ()
    return (tensor for tensor in tensors if isinstance(tensor, dict))


def _of_tensor(tensor: Mapping[str, Any]) -> str:
    # "Format/Datatype" up to TensorRT 10; from 11 on the type has a key of its own.
    typed = [str(value) for key, value in tensor.items() if "datatype" in key.lower()]
    text = " ".join(typed or [str(value) for key, value in tensor.items() if "format" in key.lower()])
    return next((name for name, pattern in _PATTERNS if pattern.search(text)), "")


def _has_convolution(layer: Mapping[str, Any]) -> bool:
    return any(_CONVOLUTION.search(str(layer.get(key, ""))) for key in _TELLING)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} in {name}" for name, count in counts.items())
