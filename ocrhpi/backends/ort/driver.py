"""NVIDIA's driver, asked directly: what a GPU is, and page-locked memory. Needs the driver and nothing else.

Functions and constants: CUDA Driver API, https://docs.nvidia.com/cuda/cuda-driver-api/.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ocrhpi.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_SUCCESS = 0
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
_PORTABLE = 1  # CU_MEMHOSTREGISTER_PORTABLE: locked for every context, and so for the engine's
_NAME_BYTES = 256


@dataclass(frozen=True)
class GpuFacts:
    """What decides which compiled code runs on a GPU.

    Attributes:
        name: Its name, such as ``NVIDIA L4``.
        compute_capability: Such as ``8.9``.
        driver_cuda: Newest version of CUDA that the driver runs, such as ``13.0``.
    """

    name: str
    compute_capability: str
    driver_cuda: str


def load_driver() -> Any:  # noqa: ANN401 - a foreign library
    """Load the driver's library and start it.

    Raises:
        BackendError: There is none, or it finds no GPU.
    """
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        reason = f"NVIDIA's driver is not installed, or not visible in this container ({error})"
        raise BackendError("cuda", f"{reason}; 'nvidia-smi' must list the GPU") from error
    _call(driver, "cuInit", 0)
    return driver


def gpu_facts(index: int) -> GpuFacts:
    """Return what GPU ``index`` is, counted as CUDA counts: within ``CUDA_VISIBLE_DEVICES``.

    Raises:
        BackendError: There is no driver, or no such GPU.
    """
    driver = load_driver()
    device = _device(driver, index)
    name = ctypes.create_string_buffer(_NAME_BYTES)
    _call(driver, "cuDeviceGetName", name, _NAME_BYTES, device)
    capability = []
    for attribute in (_MAJOR, _MINOR):
        value = ctypes.c_int()
        _call(driver, "cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
        capability.append(str(value.value))
    version = ctypes.c_int()
    _call(driver, "cuDriverGetVersion", ctypes.byref(version))
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return GpuFacts(name.value.decode("utf-8", "replace"), ".".join(capability), cuda)


class PageLocked:
    """Arrays whose memory the driver has locked, so that the GPU fetches them without a second copy.

    Args:
        index: GPU whose context locks them.
        like: Arrays whose shapes and dtypes they have.

    Attributes:
        arrays: They; not to be used after `close`.

    Raises:
        BackendError: The driver refused, for example since too much memory is locked already.
    """

    def __init__(self, index: int, like: Sequence[npt.NDArray[Any]]) -> None:
        self._driver = load_driver()
        self._gpu = _device(self._driver, index)
        self.arrays = [_page_aligned(array) for array in like]
        self._locked: list[npt.NDArray[Any]] = []
        self._context = ctypes.c_void_p()
        # The primary context, which CUDA's runtime and so every engine uses.
        _call(self._driver, "cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._gpu)
        try:
            self._in_context(self._lock)
        except BackendError:
            self.close()
            raise

    def close(self) -> None:
        """Unlock all; closing twice is fine."""
        if self._context:
            self._in_context(self._unlock)
            _call(self._driver, "cuDevicePrimaryCtxRelease_v2", self._gpu)
            self._context = ctypes.c_void_p()

    def _lock(self) -> None:
        for array in self.arrays:
            address, size = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes)
            _call(self._driver, "cuMemHostRegister_v2", address, size, _PORTABLE)
            self._locked.append(array)

    def _unlock(self) -> None:
        while self._locked:
            _call(self._driver, "cuMemHostUnregister", ctypes.c_void_p(self._locked.pop().ctypes.data))

    def _in_context(self, action: Callable[[], None]) -> None:
        _call(self._driver, "cuCtxPushCurrent_v2", self._context)
        try:
            action()
        finally:
            _call(self._driver, "cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))


def _page_aligned(like: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array of pages of its own: a page can be locked once only."""
    memory = mmap.mmap(-1, max(1, like.nbytes))
    return np.frombuffer(memory, like.dtype, like.size).reshape(like.shape)


def _device(driver: Any, index: int) -> ctypes.c_int:  # noqa: ANN401
    device = ctypes.c_int()
    _call(driver, "cuDeviceGet", ctypes.byref(device), index)
    return device


def _call(driver: Any, function: str, *arguments: Any) -> None:  # noqa: ANN401
    code = getattr(driver, function)(*arguments)
    if code != _SUCCESS:
        raise BackendError("cuda", f"{function} of NVIDIA's driver failed: {_error_name(driver, code)}")


def _error_name(driver: Any, code: int) -> str:  # noqa: ANN401
    name = ctypes.c_char_p()
    if driver.cuGetErrorName(code, ctypes.byref(name)) == _SUCCESS and name.value:
        return f"{name.value.decode()} ({code})"
    return f"error {code}"
