"""Execution contexts: one for each profile, and one for each captured shape, in shared activation memory.

CUDA graphs hold all copies and kernels of one shape, captured once and launched as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ocrhpi.backends.trt.names import NAME, shared_log
from ocrhpi.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from ocrhpi.backends.trt.gpu import DeviceBlock
    from ocrhpi.backends.trt.names import CudaRuntime, Engine, Stream, TensorRt


class CaptureFailed(RuntimeError):
    """CUDA cannot capture this work as a graph; it still runs without one."""


def import_cuda_runtime() -> CudaRuntime:
    """Return ``cuda.bindings.runtime``, which packages before 12.6 call ``cuda.cudart``.

    Raises:
        ImportError: cuda-bindings is not installed.
    """
    try:
        from cuda.bindings import runtime  # noqa: PLC0415 - only CUDA graphs need it
    except ImportError as error:
        try:
            from cuda import cudart as runtime  # noqa: PLC0415
        except ImportError:
            raise error from None
    return runtime


class CudaGraph:
    """A captured graph that can be launched on the stream that it was captured on.

    Args:
        cudart: The module ``cuda.bindings.runtime``.
        executable: ``cudaGraphExec_t``.
        stream: Handle of the stream.
    """

    def __init__(self, cudart: CudaRuntime, executable: Any, stream: int) -> None:  # noqa: ANN401 - untyped
        self._cudart = cudart
        self._executable = executable
        self._stream = stream

    def launch(self) -> None:
        """Start the work, asynchronously."""
        _call(self._cudart.cudaGraphLaunch, self._executable, self._stream)

    def destroy(self) -> None:
        """Release the graph; nothing of it may be running."""
        _call(self._cudart.cudaGraphExecDestroy, self._executable)


def capture(cudart: CudaRuntime, stream: int, work: Callable[[], None]) -> CudaGraph:
    """Capture what ``work`` puts on the stream; nothing of it runs now.

    Args:
        cudart: The module ``cuda.bindings.runtime``.
        stream: Handle of the stream.
        work: Issues asynchronous calls on that stream alone.

    Raises:
        CaptureFailed: Some of the work cannot be captured.
    """
    # Thread-local: other threads go on allocating and copying meanwhile.
    mode = cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
    try:
        _call(cudart.cudaStreamBeginCapture, stream, mode)
        try:
            work()
        except BaseException:
            _end_in_vain(cudart, stream)
            raise
        (graph,) = _call(cudart.cudaStreamEndCapture, stream)
        try:
            (executable,) = _call(cudart.cudaGraphInstantiateWithFlags, graph, 0)
        finally:
            _call(cudart.cudaGraphDestroy, graph)
    except RuntimeError as error:
        raise CaptureFailed(str(error)) from error
    return CudaGraph(cudart, executable, stream)


def _end_in_vain(cudart: CudaRuntime, stream: int) -> None:
    """End a capture whose work failed, so that the stream can be used again; that failure is what matters."""
    error, graph = cudart.cudaStreamEndCapture(stream)
    if int(error) == 0:
        _call(cudart.cudaGraphDestroy, graph)


def _call(function: Any, *arguments: Any) -> tuple[Any, ...]:  # noqa: ANN401 - cuda-bindings is untyped
    """Call a function of the CUDA runtime, which returns its error first."""
    error, *values = function(*arguments)
    if int(error) != 0:
        name = getattr(function, "__name__", "CUDA")
        raise RuntimeError(f"{name}: {getattr(error, 'name', error)}")
    return tuple(values)


_INPUT_ORDER = {"contents": 1, "widths": 2}  # the batch itself has other names

# By name, since tensorrt.nptype of 8.5 fails with NumPy 1.24 and newer, and other versions lack some types.
_TYPES: Final[Mapping[str, npt.DTypeLike]] = MappingProxyType(
    {
        "FLOAT": np.float32,
        "HALF": np.float16,
        "INT32": np.int32,
        "INT64": np.int64,
        "UINT8": np.uint8,
    }
)


@dataclass(frozen=True)
class EngineTensors:
    """What an engine takes and gives: name -> type, inputs in the order of `ocrhpi.backends.onnx_io`."""

    inputs: Mapping[str, np.dtype[Any]]
    outputs: Mapping[str, np.dtype[Any]]

    @classmethod
    def read(cls, trt: TensorRt, engine: Engine) -> EngineTensors:
        """Ask the engine.

        Raises:
            BackendError: A tensor lives in the host's memory, as those do that decide shapes.
        """
        names = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
        for name in names:
            if engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:
                raise BackendError(NAME, f"the tensor {name!r} decides shapes, which the exporter's graphs never do")
        types = {name: np.dtype(_TYPES[engine.get_tensor_dtype(name).name]) for name in names}
        modes = {name: engine.get_tensor_mode(name) for name in names}
        inputs = sorted(
            (name for name in names if modes[name] == trt.TensorIOMode.INPUT),
            key=lambda name: _INPUT_ORDER.get(name, 0),
        )
        outputs = [name for name in names if modes[name] == trt.TensorIOMode.OUTPUT]
        return cls({name: types[name] for name in inputs}, {name: types[name] for name in outputs})


def activation_size(engine: Engine) -> int:
    """Return how many bytes an execution context computes in, whichever profile it uses."""
    name = "device_memory_size_v2" if hasattr(engine, "device_memory_size_v2") else "device_memory_size"
    return int(getattr(engine, name))


class Executor:
    """An execution context that stays with one profile.

    Executors of one request never run at the same time, so they share their activation memory. Changing the profile of
    one context instead would set it up anew at each change, and undo its CUDA graphs.

    Args:
        trt: The module ``tensorrt``.
        engine: The engine.
        profile: Number of the profile.
        activation: Memory of `activation_size`.
        stream: Where it runs.

    Raises:
        BackendError: TensorRT cannot make it.
    """

    def __init__(self, trt: TensorRt, engine: Engine, profile: int, activation: DeviceBlock, stream: Stream) -> None:
        self._log = shared_log(trt)
        self._stream = stream
        self._shapes: dict[str, tuple[int, ...]] = {}
        mark = self._log.mark()
        self._context = _context_without_memory(trt, engine)
        if self._context is None:
            raise BackendError(NAME, f"TensorRT makes no execution context: {self._log.errors_since(mark)}")
        if hasattr(self._context, "set_device_memory"):
            self._context.set_device_memory(activation.address, activation.size)
        else:
            self._context.device_memory = activation.address
        if not self._context.set_optimization_profile_async(profile, stream.handle):
            raise BackendError(NAME, f"TensorRT does not switch to profile {profile}: {self._log.errors_since(mark)}")
        stream.synchronize()

    def bind(self, addresses: Mapping[str, int]) -> None:
        """Say where on the GPU the tensors are, by name."""
        for name, address in addresses.items():
            if not self._context.set_tensor_address(name, address):
                raise BackendError(NAME, f"TensorRT does not take the memory of {name!r}")

    def set_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Set the shapes of the inputs, by name.

        Raises:
            BackendError: The profile has no such shapes.
        """
        mark = self._log.mark()
        for name, shape in shapes.items():
            if self._shapes.get(name) == shape:
                continue
            if not self._context.set_input_shape(name, shape):
                self._shapes.pop(name, None)
                raise BackendError(NAME, f"TensorRT refuses {name!r} of {shape}: {self._log.errors_since(mark)}")
            self._shapes[name] = shape

    def output_shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an output for the inputs' present shapes.

        Raises:
            BackendError: It depends on the data.
        """
        shape = tuple(int(length) for length in self._context.get_tensor_shape(name))
        if min(shape, default=0) < 0:
            raise BackendError(NAME, f"the shape of the output {name!r}, {shape}, depends on the data")
        return shape

    def enqueue(self) -> None:
        """Start the kernels, asynchronously.

        Raises:
            BackendError: TensorRT refuses; the text has its own errors.
        """
        mark = self._log.mark()
        if not self._context.execute_async_v3(self._stream.handle):
            raise BackendError(NAME, f"TensorRT does not run {self._shapes}: {self._log.errors_since(mark)}")


def _context_without_memory(trt: TensorRt, engine: Engine) -> Any:  # noqa: ANN401 - TensorRT is untyped
    strategies = getattr(trt, "ExecutionContextAllocationStrategy", None)  # from TensorRT 10 on
    if strategies is None:
        return engine.create_execution_context_without_device_memory()
    return engine.create_execution_context(strategies.USER_MANAGED)
