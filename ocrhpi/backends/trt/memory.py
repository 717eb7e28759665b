"""Memory of one input or output: page-locked on the host, so that it is copied asynchronously, and on the GPU."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ocrhpi.backends.trt.names import CudaDriver, Stream


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
