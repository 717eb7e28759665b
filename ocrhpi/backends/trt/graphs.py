"""CUDA graphs: all copies and kernels of one shape, captured once and launched as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrhpi.backends.trt.names import CudaRuntime


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
