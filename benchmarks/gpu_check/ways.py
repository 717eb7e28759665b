"""What is measured: each engine, provider and precision that a device may have; the first way is the baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ocrhpi.backends.gpu import gpu_reason
from ocrhpi.backends.registry import availability, backend_specs
from ocrhpi.config.candidate import Candidate

__all__ = ["EAGER", "GRAPHS", "Way", "reason_against", "ways_of"]

EAGER = "cuda, pixels"
GRAPHS = "cuda, pixels, CUDA graphs"
"""These two differ in nothing else, so what the second saves on the device are launches."""

_BUCKETS = (320, 640, 1280, 3200)
_MAX_LINES = 64


@dataclass(frozen=True)
class Way:
    """One way to read lines.

    Attributes:
        name: What tells it from the others.
        candidate: The same for the product.
        core: Whether it is measured on every model, not on the first alone.
    """

    name: str
    candidate: Candidate
    core: bool = False


def ways_of(device: str) -> list[Way]:
    """Return the ways for ``cpu`` or ``gpu:INDEX`` in their order, the baseline first."""
    make = _cpu_ways if device == "cpu" else _gpu_ways
    return [Way(name, candidate.model_copy(update={"device": device}), core) for name, candidate, core in make()]


def reason_against(way: Way) -> str:
    """Say why a way cannot run here, without starting anything; empty if nothing is known."""
    candidate = way.candidate
    spec = backend_specs()[candidate.backend]
    state = availability(spec)
    if not state.available:
        return f"{state.reason}: {spec.install}"
    device = str(candidate.device)
    return gpu_reason(candidate.backend, candidate.options, device) if device.startswith("gpu") else ""


def _gpu_ways() -> list[tuple[str, Candidate, bool]]:
    cuda: dict[str, Any] = {"provider": "cuda"}
    rtx: dict[str, Any] = {"provider": "tensorrt-rtx"}
    graphs: dict[str, Any] = {"cuda_graphs": True}
    half: dict[str, Any] = {"precision": "fp16"}
    return [
        # ONNX Runtime as it comes, but for TF32; warm, it has the best convolution of every shape.
        ("cuda, exact widths, exhaustive search", _exact(**cuda, conv_search="exhaustive"), True),
        (GRAPHS, _pixels(**cuda, **graphs), True),
        ("cuda, fp16, pixels, CUDA graphs", _pixels(**cuda, **graphs, **half), True),
        ("tensorrt-rtx, pixels", _pixels(**rtx), True),
        ("tensorrt-rtx, fp16, pixels", _pixels(**rtx, **half), True),
        ("Paddle", Candidate(backend="paddle"), True),
        ("cuda, exact widths, heuristic search", _exact(**cuda, conv_search="heuristic"), False),
        ("cuda, exact widths, default search", _exact(**cuda, conv_search="default"), False),
        (EAGER, _pixels(**cuda), False),
        ("cuda, CUDA graphs", _bucketed(**cuda, **graphs), False),
        ("cuda, CUDA graphs, pinned", _bucketed(**cuda, **graphs, pinned=True), False),
        ("cuda, pixels, CUDA graphs, exhaustive search", _pixels(**cuda, **graphs, conv_search="exhaustive"), False),
        ("cuda, fp16, nhwc, pixels, CUDA graphs", _pixels(**cuda, **graphs, **half, nhwc=True), False),
        ("tensorrt-rtx, pixels, CUDA graphs", _pixels(**rtx, **graphs), False),
        ("tensorrt-rtx, fp16, pixels, CUDA graphs", _pixels(**rtx, **graphs, **half), False),
        # TensorRT builds for minutes, so it comes last.
        ("TensorRT itself, pixels, CUDA graphs", _pixels("tensorrt", **graphs), True),
        ("TensorRT itself, fp16, pixels, CUDA graphs", _pixels("tensorrt", **graphs, **half), True),
    ]


def _cpu_ways() -> list[tuple[str, Candidate, bool]]:
    return [
        ("onnxruntime, exact widths", _exact(), True),
        ("openvino, exact widths", _exact("openvino"), True),
        ("onnxruntime, pixels", _pixels(), False),
        ("onnxruntime, fp16, pixels", _pixels(precision="fp16"), False),
        ("Paddle", Candidate(backend="paddle"), False),
    ]


def _exact(backend: str = "onnxruntime", **options: Any) -> Candidate:  # noqa: ANN401 - any backend's
    return Candidate(backend=backend, options=options)


def _bucketed(backend: str = "onnxruntime", **options: Any) -> Candidate:  # noqa: ANN401
    return Candidate(backend=backend, options=options, batching="masked", buckets=_BUCKETS, batch_size=_MAX_LINES)


def _pixels(backend: str = "onnxruntime", **options: Any) -> Candidate:  # noqa: ANN401
    return _bucketed(backend, **options).model_copy(update={"pixels": True})
