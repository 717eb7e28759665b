"""NVIDIA's driver: facts of a GPU, page-locked memory, and what is said where there is none."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ocrhpi.backends.ort import libraries
from ocrhpi.errors import BackendError
from tests.backends.ort.fake_driver import FakeDriver

if TYPE_CHECKING:
    from collections.abc import Callable

GPUS = (("NVIDIA L4", (8, 9)), ("NVIDIA H200", (9, 0)))
LIKE = [np.ones((2, 3, 48, 320), np.float32), np.ones(2, np.int32)]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeDriver], FakeDriver]:
    def install(fake: FakeDriver) -> FakeDriver:
        monkeypatch.setattr(ctypes, "CDLL", lambda name: fake if "cuda" in name else pytest.fail(name))
        return fake

    return install


def test_facts_of_a_gpu(install: Callable[[FakeDriver], FakeDriver]) -> None:
    install(FakeDriver(GPUS))
    assert libraries.gpu_facts(1) == libraries.GpuFacts("NVIDIA H200", "9.0", "13.1")
    assert libraries.gpu_facts(0).compute_capability == "8.9"


def test_a_gpu_that_is_not_there(install: Callable[[FakeDriver], FakeDriver]) -> None:
    install(FakeDriver(GPUS))
    with pytest.raises(BackendError, match=r"cuDeviceGet of NVIDIA's driver failed: CUDA_ERROR_INVALID_VALUE \(1\)"):
        libraries.gpu_facts(2)
    install(FakeDriver(()))
    with pytest.raises(BackendError, match="cuInit of NVIDIA's driver failed: CUDA_ERROR_NO_DEVICE"):
        libraries.gpu_facts(0)


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "_LIBRARY", "libno_such_driver.so.1")
    with pytest.raises(BackendError, match=r"driver is not installed.*libno_such_driver.*'nvidia-smi' must list"):
        libraries.gpu_facts(0)


def test_memory_is_locked_in_the_gpus_context_and_given_back(install: Callable[[FakeDriver], FakeDriver]) -> None:
    fake = install(FakeDriver(GPUS))
    locked = libraries.PageLocked(1, LIKE)
    assert [(array.shape, array.dtype) for array in locked.arrays] == [(one.shape, one.dtype) for one in LIKE]
    assert set(fake.locked) == {array.ctypes.data for array in locked.arrays}
    assert fake.contexts == []
    for array, like in zip(locked.arrays, LIKE, strict=True):
        np.copyto(array, like)
        np.testing.assert_array_equal(array, like)
    locked.close()
    locked.close()
    assert fake.locked == {}
    assert fake.retained == 0


def test_memory_that_cannot_be_locked_leaves_nothing_locked(install: Callable[[FakeDriver], FakeDriver]) -> None:
    fake = install(FakeDriver(GPUS, lockable=LIKE[0].nbytes))
    with pytest.raises(BackendError, match="cuMemHostRegister_v2"):
        libraries.PageLocked(0, LIKE)
    assert (fake.locked, fake.retained, fake.contexts) == ({}, 0, [])
