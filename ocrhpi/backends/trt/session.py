"""A session: an engine on a GPU, and the requests that share it."""

from __future__ import annotations

import queue
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ocrhpi.backends.trt.execution import CaptureFailed
from ocrhpi.backends.trt.names import NAME
from ocrhpi.backends.trt.request import Request
from ocrhpi.errors import BackendMismatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from ocrhpi.backends.trt.gpu import Gpu
    from ocrhpi.backends.trt.request import EnginePlan, Placement

    Arrays = Sequence[npt.NDArray[Any]]

T = TypeVar("T")


class Session:
    """Runs batches; may be called from as many threads as it has requests, others wait.

    Args:
        gpu: Where the engine is; its context is current.
        plan: The engine.
        requests: How many requests to make, each warmed up.
        on_capture_failure: See `ocrhpi.backends.trt.request.Request`.

    Raises:
        BackendMismatch: CUDA graphs were asked for, and cannot be captured.
    """

    def __init__(self, gpu: Gpu, plan: EnginePlan, requests: int, on_capture_failure: Callable[[str], None]) -> None:
        self._gpu = gpu
        self._idle: queue.SimpleQueue[Request] = queue.SimpleQueue()
        with ExitStack() as made:
            for _ in range(requests):
                request = Request(plan, on_capture_failure)
                made.callback(request.close)
                _warm_up(request)
                self._idle.put(request)
            self.activation_bytes = request.activation_bytes * requests
            self._made = made.pop_all()

    def run(self, placement: Placement, arrays: Arrays, reduce: Callable[[Arrays], T]) -> T:
        """Run a batch, as many lines at a time as its profile takes; lines do not see each other.

        Args:
            placement: Where it runs.
            arrays: The inputs in order.
            reduce: Makes the result of the outputs, whose memory is used again after it returns.
        """
        starts = range(0, len(arrays[0]), placement.lines)
        with self._request() as request:
            if len(starts) == 1:
                return reduce(request.run(placement, arrays))
            parts = []
            for start in starts:
                outputs = request.run(placement, [array[start : start + placement.lines] for array in arrays])
                parts.append([output.copy() for output in outputs])
        return reduce([np.concatenate(output) for output in zip(*parts, strict=True)])

    def device_ms(self, placement: Placement, lines: int, calls: int) -> list[float]:
        """Time the kernels of a batch of so many lines, see `ocrhpi.backends.trt.request.Request`."""
        with self._request() as request:
            return request.device_ms(replace(placement, lines=lines), calls)

    def close(self) -> None:
        """Give everything back; no call may be running."""
        with self._gpu.current():
            self._made.close()
            self._idle = queue.SimpleQueue()  # here, since the engine goes with the last request, and frees memory

    @contextmanager
    def _request(self) -> Iterator[Request]:
        """Borrow a request that nobody else runs, with the GPU current."""
        request = self._idle.get()
        try:
            with self._gpu.current():
                yield request
        finally:
            self._idle.put(request)


def _warm_up(request: Request) -> None:
    try:
        request.warm_up()
    except CaptureFailed as error:
        raise BackendMismatch(NAME, "cuda_graphs", f"CUDA captures no graph of this engine: {error}") from error
