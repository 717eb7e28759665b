"""Libraries of GPU providers: preloaded, registered, and named when they are missing."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi.backends.ort import libraries
from ocrhpi.backends.ort.options import CUDA, INSTALL_RTX
from ocrhpi.engines.onnxruntime_ import CPU
from ocrhpi.errors import BackendError, BackendMismatch, BackendUnavailable
from tests.backends.ort.fake_onnxruntime import RTX, FakeOnnxRuntime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

onnxruntime = pytest.importorskip("onnxruntime")
RTX_NAMES = {"get_ep_name", "get_library_path"}
"""What we call of the plugin's module; onnxruntime-ep-nv-tensorrt-rtx-cu13 0.5.0 has both."""


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], ModuleType]:
    def install(module: str, provider: str) -> ModuleType:
        fake = ModuleType(module)
        fake.get_ep_name = lambda: provider  # type: ignore[attr-defined]
        fake.get_library_path = lambda: f"{provider}.so"  # type: ignore[attr-defined]
        assert {name for name in vars(fake) if name.startswith("get_")} == RTX_NAMES
        fake.__spec__ = SimpleNamespace(name=module)  # type: ignore[assignment]
        monkeypatch.setitem(sys.modules, module, fake)
        return fake

    return install


def test_what_onnx_runtime_prints_of_missing_libraries_is_returned(capfd: pytest.CaptureFixture[str]) -> None:
    assert libraries.load_cuda(FakeOnnxRuntime()) == "Failed to load libcudnn.so.9"
    assert libraries.load_cuda(SimpleNamespace()) == ""
    assert capfd.readouterr() == ("", "")


def test_the_cpu_build_has_no_cuda() -> None:
    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(
        BackendMismatch, match=r"asked for device gpu:0, but .* no CUDAExecutionProvider, only .*"
    ) as error:
        libraries.require_cuda(onnxruntime, "device gpu:0")
    assert "pip install 'ocrhpi[onnxruntime-gpu]', in place of the package 'onnxruntime'" in str(error.value)


def test_an_installed_cuda_plugin_serves_as_well(plugin: Callable[[str, str], ModuleType]) -> None:
    plugin(libraries.CUDA_MODULE, CUDA)
    fake = FakeOnnxRuntime((CPU,))
    libraries.require_cuda(fake, "device gpu:0")
    assert fake.registered == [CUDA]
    libraries.require_cuda(fake, "device gpu:0")
    assert fake.registered == [CUDA]


def test_a_plugin_is_registered_once(plugin: Callable[[str, str], ModuleType]) -> None:
    plugin(libraries.RTX_MODULE, RTX)
    for gpus in ((0,), ()):  # without a GPU, the plugin shows no device that would tell that it is registered
        fake = FakeOnnxRuntime(gpus=gpus)
        for _ in range(2):
            assert libraries.register_plugin(fake, libraries.RTX_MODULE, "tensorrt-rtx", INSTALL_RTX) == RTX
        assert fake.registered == [RTX]


def test_a_plugin_that_is_not_installed_is_a_sentence_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, libraries.RTX_MODULE, None)
    with pytest.raises(BackendUnavailable, match=r"provider tensorrt-rtx.*pip install 'ocrhpi\[tensorrt-rtx\]'"):
        libraries.register_plugin(FakeOnnxRuntime(), libraries.RTX_MODULE, "tensorrt-rtx", INSTALL_RTX)


def test_a_plugin_that_does_not_load_says_why(plugin: Callable[[str, str], ModuleType]) -> None:
    fake = plugin(libraries.RTX_MODULE, RTX)
    fake.get_library_path = lambda: "/no/such/library.so"  # type: ignore[attr-defined]
    if not hasattr(onnxruntime, "register_execution_provider_library"):
        pytest.skip("this ONNX Runtime takes no plugins")
    with pytest.raises(BackendError, match=r"cannot be loaded: .*/no/such/library\.so"):
        libraries.register_plugin(onnxruntime, libraries.RTX_MODULE, "tensorrt-rtx", INSTALL_RTX)


def test_an_onnx_runtime_without_plugins() -> None:
    with pytest.raises(BackendMismatch, match=r"ONNX Runtime 1\.20\.1 takes no plugins; install 1\.24"):
        libraries.register_plugin(SimpleNamespace(__version__="1.20.1"), "m", "tensorrt-rtx", INSTALL_RTX)


@pytest.mark.parametrize(("gpus", "found"), [((), "finds no GPU"), ((0, 1), "finds gpu:0, gpu:1")])
def test_a_gpu_that_the_plugin_does_not_run_on(gpus: tuple[int, ...], found: str) -> None:
    fake = FakeOnnxRuntime(gpus=gpus)
    fake.register_execution_provider_library(RTX, "x.so")
    with pytest.raises(BackendMismatch, match=f"{found}; it needs an NVIDIA GPU of the Ampere generation"):
        libraries.rtx_device(fake, RTX, 2)


def test_the_gpu_asked_for_is_taken() -> None:
    fake = FakeOnnxRuntime()
    fake.register_execution_provider_library(RTX, "x.so")
    assert libraries.rtx_device(fake, RTX, 1).ep_options == {"device_id": "1"}


def test_the_loaders_reason(tmp_path: Path) -> None:
    (tmp_path / "capi").mkdir()
    module: Any = SimpleNamespace(__file__=str(tmp_path / "__init__.py"))
    assert "has no" in libraries.why_cuda_not_loaded(module)
    for name in ("libonnxruntime_providers_cuda.so", "onnxruntime_providers_cuda.dll"):
        (tmp_path / "capi" / name).write_bytes(b"no library")
    assert "onnxruntime_providers_cuda" in libraries.why_cuda_not_loaded(module)
