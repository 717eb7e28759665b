"""One GPU: its primary CUDA context, current for a call's length, facts that keys need, and memory on both sides."""

from __future__ import annotations

import atexit
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ocrhpi.backends.device import Device
from ocrhpi.backends.trt.names import INSTALL, NAME
from ocrhpi.errors import BackendMismatch, BackendUnavailable
from ocrhpi.forks import RenewedLock, in_children, never_free

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from ocrhpi.backends.trt.names import CudaDriver, Stream

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


def size_in_bytes(shape: Sequence[int], dtype: npt.DTypeLike) -> int:
    """Return the bytes of an array."""
    return math.prod(shape) * np.dtype(dtype).itemsize


class DeviceBlock:
    """Memory on the GPU.

    Args:
        cuda: The module ``pycuda.driver``; its context is current here and in `free`.
        size: In bytes.
    """

    def __init__(self, cuda: CudaDriver, size: int) -> None:
        self.size = size
        self._allocation = cuda.mem_alloc(max(1, size))  # 256-byte aligned, as TensorRT wants it
        self.address = int(self._allocation)

    def free(self) -> None:
        """Give the memory back."""
        self._allocation.free()


class TensorBuffer:
    """One input or output, of any shape up to a size.

    Args:
        cuda: The module ``pycuda.driver``; its context is current here and in all methods.
        dtype: Of the array.
        capacity: Its greatest size in bytes.
    """

    def __init__(self, cuda: CudaDriver, dtype: npt.DTypeLike, capacity: int) -> None:
        self._cuda = cuda
        self._dtype = np.dtype(dtype)
        self._host: npt.NDArray[np.uint8] = cuda.pagelocked_empty(max(1, capacity), np.uint8)
        try:
            self._device = DeviceBlock(cuda, capacity)
        except BaseException:
            self._free_host()
            raise

    @property
    def address(self) -> int:
        """Address on the GPU."""
        return self._device.address

    def host(self, shape: Sequence[int]) -> npt.NDArray[Any]:
        """Return the host's memory as an array, good until `free`."""
        return self._bytes(shape).view(self._dtype).reshape(shape)

    def put(self, array: npt.NDArray[Any], shape: Sequence[int]) -> None:
        """Copy ``array`` into the host's memory, with zeros up to ``shape``."""
        target = self.host(shape)
        if array.shape == target.shape:
            np.copyto(target, array)
            return
        target[...] = 0
        target[tuple(slice(length) for length in array.shape)] = array

    def upload(self, shape: Sequence[int], stream: Stream) -> None:
        """Copy to the GPU, asynchronously."""
        self._cuda.memcpy_htod_async(self.address, self._bytes(shape), stream)

    def download(self, shape: Sequence[int], stream: Stream) -> None:
        """Copy from the GPU, asynchronously."""
        self._cuda.memcpy_dtoh_async(self._bytes(shape), self.address, stream)

    def free(self) -> None:
        """Give the memory back; arrays of `host` must not be used any more."""
        self._device.free()
        self._free_host()

    def _bytes(self, shape: Sequence[int]) -> npt.NDArray[np.uint8]:
        return self._host[: size_in_bytes(shape, self._dtype)]

    def _free_host(self) -> None:
        allocation: Any = self._host.base
        allocation.free()
