"""NVIDIA's driver as far as it is called: strict about which memory is locked, in which context, and given back."""

from __future__ import annotations

import ctypes
from typing import Any

NO_DEVICE, INVALID_VALUE, ALREADY_REGISTERED, NOT_REGISTERED = 100, 1, 712, 713
NAMES = {
    NO_DEVICE: b"CUDA_ERROR_NO_DEVICE",
    INVALID_VALUE: b"CUDA_ERROR_INVALID_VALUE",
    ALREADY_REGISTERED: b"CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED",
}
PAGE = 4096


class FakeDriver:
    """The library.

    Args:
        gpus: Name and compute capability of each GPU.
        lockable: Most bytes that it locks.
    """

    def __init__(self, gpus: tuple[tuple[str, tuple[int, int]], ...], *, lockable: int = 1 << 30) -> None:
        self.gpus = gpus
        self.lockable = lockable
        self.contexts: list[int] = []
        self.retained = 0
        self.locked: dict[int, int] = {}

    def cuInit(self, flags: int) -> int:  # noqa: N802
        assert flags == 0
        return 0 if self.gpus else NO_DEVICE

    def cuDeviceGet(self, device: Any, index: int) -> int:  # noqa: N802
        if not 0 <= index < len(self.gpus):
            return INVALID_VALUE
        _set(device, index)
        return 0

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:  # noqa: N802
        text = self.gpus[device.value][0].encode()
        assert len(text) < size == len(name)
        name.value = text
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:  # noqa: N802
        _set(value, self.gpus[device.value][1][{75: 0, 76: 1}[attribute]])
        return 0

    def cuDriverGetVersion(self, value: Any) -> int:  # noqa: N802
        _set(value, 13010)
        return 0

    def cuGetErrorName(self, code: int, name: Any) -> int:  # noqa: N802
        if code not in NAMES:
            return INVALID_VALUE
        _set(name, NAMES[code])
        return 0

    def cuDevicePrimaryCtxRetain(self, context: Any, device: Any) -> int:  # noqa: N802
        self.retained += 1
        _set(context, 1000 + device.value)
        return 0

    def cuDevicePrimaryCtxRelease_v2(self, device: Any) -> int:  # noqa: N802
        assert 0 <= device.value < len(self.gpus)
        self.retained -= 1
        return 0

    def cuCtxPushCurrent_v2(self, context: Any) -> int:  # noqa: N802
        self.contexts.append(context.value)
        return 0

    def cuCtxPopCurrent_v2(self, context: Any) -> int:  # noqa: N802
        _set(context, self.contexts.pop())
        return 0

    def cuMemHostRegister_v2(self, address: Any, size: Any, flags: int) -> int:  # noqa: N802
        assert self.contexts, "no context is current"
        assert isinstance(size, ctypes.c_size_t)
        assert flags == 1
        pages = set(_pages(address.value, size.value))
        if any(pages & set(_pages(start, length)) for start, length in self.locked.items()):
            return ALREADY_REGISTERED
        if sum(self.locked.values()) + size.value > self.lockable:
            return INVALID_VALUE
        self.locked[address.value] = size.value
        return 0

    def cuMemHostUnregister(self, address: Any) -> int:  # noqa: N802
        assert self.contexts, "no context is current"
        return 0 if self.locked.pop(address.value, None) else NOT_REGISTERED


def _set(reference: Any, value: Any) -> None:
    reference._obj.value = value


def _pages(start: int, size: int) -> range:
    return range(start // PAGE, -(-(start + size) // PAGE))
