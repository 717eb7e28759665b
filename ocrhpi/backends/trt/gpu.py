"""One GPU: its primary CUDA context, which is made current for the length of a call, and the facts that keys need."""

from __future__ import annotations

import atexit
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ocrhpi.backends.device import Device
from ocrhpi.backends.trt.names import INSTALL, NAME
from ocrhpi.errors import BackendMismatch, BackendUnavailable
from ocrhpi.forks import RenewedLock, in_children, never_free

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocrhpi.backends.trt.names import CudaDriver

# Primary contexts by module and GPU, retained once and until the process ends. TensorRT retains them just as long
# through the CUDA runtime, and pycuda can release one only in the thread that retained it.
_contexts: dict[tuple[CudaDriver, int], Any] = {}
_lock = RenewedLock()


class Gpu:
    """A GPU.

    Attributes:
        cuda: The module ``pycuda.driver``.
        index: Number of the GPU.
        name: Its name, such as ``NVIDIA L4``.
        compute_capability: Such as ``8.9``.
        multiprocessors: How many it has; parts of one GPU differ in nothing else.
    """

    def __init__(self, cuda: CudaDriver, index: int) -> None:
        device = cuda.Device(index)
        self.cuda = cuda
        self.index = index
        self.name = str(device.name())
        self.compute_capability = ".".join(str(part) for part in device.compute_capability())
        self.multiprocessors = int(device.get_attribute(cuda.device_attribute.MULTIPROCESSOR_COUNT))
        self._context = _primary_context(cuda, index, device)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the GPU the one that this thread's CUDA calls go to."""
        self._context.push()
        try:
            yield
        finally:
            self.cuda.Context.pop()


def open_gpu(cuda: CudaDriver, asked: Device | None) -> Gpu:
    """Return the GPU asked for; None asks for the first.

    Raises:
        BackendUnavailable: There is no GPU, or no driver for it.
        BackendMismatch: There is no such GPU, or another kind of device was asked for.
    """
    device = asked or Device("gpu")
    if device.kind != "gpu":
        raise BackendMismatch(NAME, f"device {device}", "TensorRT runs on NVIDIA GPUs only, 'gpu:INDEX'")
    try:
        cuda.init()
        count = int(cuda.Device.count())
    except cuda.Error as error:
        reason = f"no NVIDIA GPU can be used, which takes the GPU and its driver ({error})"
        raise BackendUnavailable(NAME, reason, INSTALL) from error
    if not count:
        raise BackendUnavailable(NAME, "CUDA finds no GPU; see CUDA_VISIBLE_DEVICES", INSTALL)
    if device.index >= count:
        raise BackendMismatch(NAME, f"device {device}", f"CUDA finds {count} GPUs, numbered from 0")
    return Gpu(cuda, device.index)


def _primary_context(cuda: CudaDriver, index: int, device: Any) -> Any:  # noqa: ANN401 - pycuda is untyped
    with _lock:
        key = (cuda, index)
        if key not in _contexts:
            _contexts[key] = device.retain_primary_context()
        return _contexts[key]


@in_children
def _leave_to_the_parent() -> None:
    """Forget the contexts in a forked child, where no call of CUDA works."""
    never_free(dict(_contexts))
    _contexts.clear()


@atexit.register
def _release() -> None:
    """Release the contexts before CUDA is gone; left to garbage collection, pycuda would warn."""
    for context in _contexts.values():
        context.detach()
    _contexts.clear()
