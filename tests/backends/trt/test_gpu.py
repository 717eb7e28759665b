from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ocrhpi.backends.device import parse_device
from ocrhpi.backends.trt.gpu import open_gpu
from ocrhpi.errors import BackendMismatch, BackendUnavailable
from tests.backends.trt.fake_cuda import FakeCuda


def test_the_first_gpu_is_the_default_and_tells_what_keys_need() -> None:
    gpu = open_gpu(FakeCuda().driver, None)
    assert (gpu.index, gpu.name, gpu.compute_capability, gpu.multiprocessors) == (0, "Fake L4", "8.9", 58)


def test_another_gpu_is_taken_by_its_index() -> None:
    assert open_gpu(FakeCuda(gpus=2).driver, parse_device("gpu:1")).index == 1


@pytest.mark.parametrize(
    ("device", "got"),
    [("cpu", "NVIDIA GPUs only"), ("npu:0", "NVIDIA GPUs only"), ("gpu:2", "CUDA finds 2 GPUs, numbered from 0")],
)
def test_devices_that_are_not_there(device: str, got: str) -> None:
    with pytest.raises(BackendMismatch, match=f"asked for device {device}, but .*{got}"):
        open_gpu(FakeCuda(gpus=2).driver, parse_device(device))


def test_without_a_gpu_or_its_driver_the_backend_is_unavailable() -> None:
    with pytest.raises(BackendUnavailable, match=r"takes the GPU and its driver \(cuInit failed.*ocrhpi\[tensorrt\]"):
        open_gpu(FakeCuda(gpus=0).driver, None)


def test_gpus_that_are_hidden_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda()
    monkeypatch.setattr(cuda.driver.Device, "count", staticmethod(lambda: 0))
    with pytest.raises(BackendUnavailable, match="CUDA finds no GPU; see CUDA_VISIBLE_DEVICES"):
        open_gpu(cuda.driver, None)


def test_the_context_is_current_for_the_length_of_a_block_in_any_thread() -> None:
    cuda = FakeCuda()
    gpu = open_gpu(cuda.driver, None)

    def use() -> int:
        with gpu.current():
            return len(cuda.stack)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(use).result() == 1
    with pytest.raises(ValueError, match="inside"), gpu.current():
        raise ValueError("inside")
    assert cuda.stack == []


def test_one_context_serves_all_backends_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda(gpus=2)
    retained: list[object] = []
    retain = cuda.driver.Device.retain_primary_context

    def counted(device: object) -> object:
        retained.append(device)
        return retain(device)

    monkeypatch.setattr(cuda.driver.Device, "retain_primary_context", counted)
    for index in (0, 1, 0, 1):
        open_gpu(cuda.driver, parse_device(f"gpu:{index}"))
    assert len(retained) == 2
