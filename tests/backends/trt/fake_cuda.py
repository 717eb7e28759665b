"""CUDA on the host, stricter than the real one: what is used of ``pycuda.driver`` and ``cuda.bindings.runtime``.

Work on a stream waits until the stream is synchronised, every call needs a current context, and all that is allocated
is counted until it is given back.
"""

# ruff: noqa: N801, N802, N815 - the names of CUDA

from __future__ import annotations

import threading
import time
from enum import IntEnum
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt


class FakeCuda:
    """The state behind both modules.

    Attributes:
        driver: Stands in for ``pycuda.driver``.
        runtime: Stands in for ``cuda.bindings.runtime``.
        memory: Address -> bytes, of what is allocated on the GPU.
        pinned: Page-locked arrays that are not freed.
        launches: Graphs launched.
        capturable: Whether streams can be captured.
    """

    def __init__(self, gpus: int = 1) -> None:
        self.gpus = gpus
        self.memory: dict[int, npt.NDArray[np.uint8]] = {}
        self.pinned: list[Any] = []
        self.streams: dict[int, Any] = {}
        self.graphs: set[int] = set()
        self.launches = 0
        self.capturable = True
        self._stacks = threading.local()
        self._next_address = 1 << 20
        self.error: type[Exception] = type("Error", (Exception,), {})
        self.driver = self._make_driver()
        self.runtime = self._make_runtime()

    @property
    def nothing_left(self) -> bool:
        """Whether all memory and graphs were given back, and no context is current in this thread."""
        return not (self.memory or self.pinned or self.graphs or self.stack)

    @property
    def stack(self) -> list[Any]:
        """The contexts of this thread."""
        if not hasattr(self._stacks, "contexts"):
            self._stacks.contexts = []
        contexts: list[Any] = self._stacks.contexts
        return contexts

    def need_context(self) -> None:
        if not self.stack:
            raise self.error("cuCtxGetCurrent failed: invalid device context")

    def at(self, address: int, size: int) -> npt.NDArray[np.uint8]:
        """Return memory on the GPU."""
        block = self.memory[address]
        assert len(block) >= size, f"{size} bytes in a block of {len(block)}"
        return block[:size]

    def put_on(self, stream: Any, work: Callable[[], None]) -> None:
        """Put work on a stream, or into the graph that it is captured for."""
        self.need_context()
        (stream.work if stream.capturing is None else stream.capturing).append(work)

    def _make_driver(self) -> ModuleType:  # noqa: C901 - one module in one function
        cuda = self
        driver = ModuleType("pycuda.driver")

        class Context:
            def push(self) -> None:
                cuda.stack.append(self)

            @staticmethod
            def pop() -> None:
                cuda.need_context()
                cuda.stack.pop()

            def detach(self) -> None:
                pass

        class Device:
            def __init__(self, index: int) -> None:
                assert 0 <= index < cuda.gpus

            @staticmethod
            def count() -> int:
                return cuda.gpus

            def name(self) -> str:
                return "Fake L4"

            def compute_capability(self) -> tuple[int, int]:
                return 8, 9

            def get_attribute(self, attribute: str) -> int:
                return {"multiprocessors": 58}[attribute]

            def retain_primary_context(self) -> Context:
                return Context()

        class Stream:
            def __init__(self) -> None:
                cuda.need_context()
                self.work: list[Callable[[], None]] = []
                self.capturing: list[Callable[[], None]] | None = None
                self.handle = id(self)
                cuda.streams[self.handle] = self

            def synchronize(self) -> None:
                cuda.need_context()
                assert self.capturing is None, "synchronising a stream ends its capture"
                while self.work:
                    self.work.pop(0)()

        class Event:
            def __init__(self) -> None:
                cuda.need_context()
                self.time = 0.0

            def record(self, stream: Any) -> None:
                cuda.put_on(stream, lambda: setattr(self, "time", time.perf_counter()))

            def time_since(self, event: Any) -> float:
                return (self.time - float(event.time)) * 1e3

        class DeviceAllocation:
            def __init__(self, size: int) -> None:
                cuda.need_context()
                assert size > 0
                self.address = cuda._next_address
                cuda._next_address += -(-size // 256) * 256
                cuda.memory[self.address] = np.full(size, 0xAA, np.uint8)

            def __int__(self) -> int:
                return self.address

            def free(self) -> None:
                cuda.need_context()
                del cuda.memory[self.address]

        class PagelockedHostAllocation:
            def __init__(self, size: int) -> None:
                self._content = np.full(size, 0xBB, np.uint8)
                self.__array_interface__ = self._content.__array_interface__
                cuda.pinned.append(self)

            def free(self) -> None:
                cuda.need_context()
                cuda.pinned.remove(self)

        def pagelocked_empty(shape: int, dtype: Any) -> npt.NDArray[Any]:
            """Return an array whose ``base`` is the allocation, as pycuda does."""
            cuda.need_context()
            assert dtype == np.uint8
            return np.asarray(PagelockedHostAllocation(shape))

        def memcpy_htod_async(dest: int, src: npt.NDArray[Any], stream: Any) -> None:
            assert src.flags.c_contiguous
            cuda.put_on(stream, lambda: np.copyto(cuda.at(dest, src.nbytes), np.asarray(src).view(np.uint8)))

        def memcpy_dtoh_async(dest: npt.NDArray[Any], src: int, stream: Any) -> None:
            assert dest.flags.c_contiguous
            cuda.put_on(stream, lambda: np.copyto(np.asarray(dest).view(np.uint8), cuda.at(src, dest.nbytes)))

        def init() -> None:
            if cuda.gpus == 0:
                raise cuda.error("cuInit failed: no CUDA-capable device is detected")

        driver.__dict__.update(
            Error=cuda.error,
            Context=Context,
            Device=Device,
            Stream=Stream,
            Event=Event,
            device_attribute=SimpleNamespace(MULTIPROCESSOR_COUNT="multiprocessors"),
            init=init,
            mem_alloc=DeviceAllocation,
            pagelocked_empty=pagelocked_empty,
            memcpy_htod_async=memcpy_htod_async,
            memcpy_dtoh_async=memcpy_dtoh_async,
        )
        return driver

    def _make_runtime(self) -> ModuleType:
        cuda = self
        runtime = ModuleType("cuda.bindings.runtime")

        class cudaError_t(IntEnum):
            cudaSuccess = 0
            cudaErrorStreamCaptureInvalidated = 901

        class cudaStreamCaptureMode(IntEnum):
            cudaStreamCaptureModeThreadLocal = 1

        success = cudaError_t.cudaSuccess
        works: dict[int, list[Callable[[], None]]] = {}

        def cudaStreamBeginCapture(stream: int, mode: int) -> tuple[Any, ...]:
            assert mode == cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
            assert cuda.streams[stream].capturing is None
            cuda.streams[stream].capturing = []
            return (success,)

        def cudaStreamEndCapture(stream: int) -> tuple[Any, ...]:
            work, cuda.streams[stream].capturing = cuda.streams[stream].capturing, None
            if not cuda.capturable:
                return cudaError_t.cudaErrorStreamCaptureInvalidated, None
            works[id(work)] = work
            cuda.graphs.add(id(work))
            return success, id(work)

        def cudaGraphInstantiateWithFlags(graph: int, flags: int) -> tuple[Any, ...]:
            assert flags == 0
            works[-graph] = works[graph]
            cuda.graphs.add(-graph)
            return success, -graph

        def cudaGraphLaunch(executable: int, stream: int) -> tuple[Any, ...]:
            cuda.launches += 1
            for work in works[executable]:
                cuda.put_on(cuda.streams[stream], work)
            return (success,)

        def forget(graph: int) -> tuple[Any, ...]:
            cuda.need_context()
            cuda.graphs.remove(graph)
            return (success,)

        runtime.__dict__.update(
            cudaStreamCaptureMode=cudaStreamCaptureMode,
            cudaStreamBeginCapture=cudaStreamBeginCapture,
            cudaStreamEndCapture=cudaStreamEndCapture,
            cudaGraphInstantiateWithFlags=cudaGraphInstantiateWithFlags,
            cudaGraphLaunch=cudaGraphLaunch,
            cudaGraphDestroy=forget,
            cudaGraphExecDestroy=forget,
        )
        return runtime
