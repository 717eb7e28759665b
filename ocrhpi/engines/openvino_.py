"""OpenVINO on a CPU."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    import numpy.typing as npt

PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
"""Precision of the arithmetic -> OpenVINO's name of it."""


def cpu_properties(precision: str, threads: int, *, cache: int | None = None, pinning: bool = False) -> dict[str, Any]:
    """Return the properties of a CPU; without the first one, OpenVINO computes in BF16 where the CPU has it.

    Args:
        precision: A key of `PRECISIONS`.
        threads: CPU threads to compute with.
        cache: Primitives that are kept, which is about 50 for each shape; None: OpenVINO's own number.
        pinning: Whether threads are bound to cores, which is slower as soon as two processes share them.
    """
    return {
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": pinning,
        **({} if cache is None else {"CPU_RUNTIME_CACHE_CAPACITY": str(cache)}),
    }


class FailedBefore(RuntimeError):
    """A request that failed may give the outputs of an earlier call, so it is not used again."""


class OpenVinoGraph:
    """A graph on the CPU in one stream. May be called from many threads; one call runs at a time.

    Attributes:
        version: Version of OpenVINO.
        inputs: Names of each input, in the order of the graph.
        outputs: Names of each output.
        precision: What it computes in, in OpenVINO's name: another one than asked for where the CPU has it not.

    Args:
        source: The ONNX file, or its bytes.
        threads: CPU threads to compute with.
        precision: A key of `PRECISIONS`.
        cache: Says, by the names of the inputs, how many primitives are kept, see `cpu_properties`.
        core: OpenVINO's core; None makes one.

    Raises:
        ImportError: OpenVINO is not installed.
        Exception: What OpenVINO raises where it cannot load the graph.
    """

    def __init__(
        self,
        source: bytes | Path,
        threads: int,
        precision: str = "fp32",
        *,
        cache: Callable[[Sequence[Collection[str]]], int] | None = None,
        core: Any = None,  # noqa: ANN401 - untyped
    ) -> None:
        import openvino  # noqa: PLC0415 - engines are imported only where one is opened

        core = core or openvino.Core()
        network = core.read_model(source if isinstance(source, bytes) else str(source))
        self.inputs = [tensor.get_names() for tensor in network.inputs]
        self.outputs = [tensor.get_names() for tensor in network.outputs]
        kept = None if cache is None else cache(self.inputs)
        properties = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, **cpu_properties(precision, threads, cache=kept)}
        compiled = core.compile_model(network, "CPU", properties)
        self.version = str(openvino.get_version())
        self.precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        self._request: Any = compiled.create_infer_request()
        self._busy = threading.Lock()

    def run(self, arrays: Sequence[npt.NDArray[Any]], *, share: bool = False) -> list[npt.NDArray[Any]]:
        """Run the graph on inputs in its order; return its outputs in its order.

        Args:
            arrays: The inputs, C-contiguous.
            share: Whether the outputs may stay in the engine's memory, until the next call.

        Raises:
            FailedBefore: It failed at an earlier call.
        """
        with self._busy:
            request, self._request = self._request, None
            if request is None:  # see `ocrhpi.backends.openvino_`
                raise FailedBefore("it failed at an earlier batch and cannot go on")
            outputs = request.infer(dict(enumerate(arrays)), share_inputs=True, share_outputs=share)
            self._request = request
            return [output if share else np.array(output) for output in outputs.values()]
