"""What can use a GPU here, from installed packages and the machine alone."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi.backends import gpu
from ocrhpi.backends.gpu import gpu_packages, gpu_reason, gpu_usable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TWO = {"gpus": ["NVIDIA H200", "NVIDIA L4"], "gpu_visible": None}
NONE: dict[str, Any] = {"gpus": [], "gpu_visible": None}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let these packages and modules be all that is installed."""

    def install(*packages: str, modules: tuple[str, ...] = ()) -> None:
        def version(name: str) -> str:
            if name not in packages:
                raise importlib.metadata.PackageNotFoundError(name)
            return "1.0"

        monkeypatch.setattr(importlib.metadata, "version", version)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name in modules else None)

    return install


@pytest.mark.parametrize(
    ("backend", "options", "packages", "modules"),
    [
        ("paddle", {}, ("paddlepaddle-gpu",), ()),
        ("onnxruntime", {}, ("onnxruntime-gpu",), ()),
        ("onnxruntime", {"provider": "cuda"}, (), ("onnxruntime_ep_cuda",)),
        ("onnxruntime", {"provider": "tensorrt-rtx"}, (), ("onnxruntime_ep_nv_tensorrt_rtx",)),
        ("tensorrt", {}, (), ("tensorrt",)),
        ("of a third party", {}, (), ()),
    ],
)
def test_each_way_to_a_gpu(
    installed: Callable[..., None],
    backend: str,
    options: dict[str, str],
    packages: tuple[str, ...],
    modules: tuple[str],
) -> None:
    installed(*packages, modules=modules)
    assert gpu_reason(backend, options, "gpu:1", TWO) == ""
    if packages or modules:
        assert gpu_usable(backend, TWO)
        assert "no NVIDIA GPU with a loaded driver" in gpu_reason(backend, options, "gpu:0", NONE)
        assert not gpu_usable(backend, NONE)


@pytest.mark.parametrize(
    ("backend", "options", "reason"),
    [
        ("paddle", {}, "paddlepaddle-gpu is not installed: install paddlepaddle-gpu from"),
        ("onnxruntime", {}, r"onnxruntime-gpu is not installed: pip install 'ocrhpi[onnxruntime-gpu]', in place of"),
        ("onnxruntime", {"provider": "tensorrt-rtx"}, "pip install 'ocrhpi[tensorrt-rtx]'"),
        ("tensorrt", {}, "tensorrt is not installed: pip install 'ocrhpi[tensorrt]'"),
    ],
)
def test_what_is_missing_is_a_reason_with_the_cure(
    installed: Callable[..., None], backend: str, options: dict[str, str], reason: str
) -> None:
    installed()
    assert reason in gpu_reason(backend, options, "gpu:0", TWO)
    assert not gpu_usable(backend, TWO)


@pytest.mark.parametrize(
    ("visible", "device", "reason"),
    [
        (None, "gpu:1", ""),
        ("0", "gpu:0", ""),
        ("GPU-8932f937,GPU-1234", "gpu:1", ""),
        (None, "gpu:2", "gpu:2 was asked for, and this machine has 2 (NVIDIA H200, NVIDIA L4)"),
        ("1", "gpu:1", "has 2 (NVIDIA H200, NVIDIA L4), 1 of which CUDA_VISIBLE_DEVICES shows"),
        ("", "gpu:0", "0 of which CUDA_VISIBLE_DEVICES shows"),
        ("0,-1,1", "gpu:1", "1 of which"),
    ],
)
def test_what_cuda_shows(installed: Callable[..., None], visible: str | None, device: str, reason: str) -> None:
    installed("onnxruntime-gpu")
    found = gpu_reason("onnxruntime", {}, device, {**TWO, "gpu_visible": visible})
    assert reason in found
    assert bool(reason) == bool(found)


def test_openvino_runs_on_intels_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_DRM", tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    assert "Intel" in gpu_reason("openvino", {}, "gpu:0", TWO)
    device = tmp_path / "renderD128" / "device"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x8086\n")
    assert gpu_reason("openvino", {}, "gpu:0", NONE) == ""
    assert not gpu_usable("openvino", TWO)  # it would have to be asked for


def test_versions_that_decide_how_a_gpu_computes(installed: Callable[..., None]) -> None:
    installed("onnxruntime-gpu", "nvidia-cudnn-cu13", "numpy")
    assert gpu_packages() == {"onnxruntime-gpu": "1.0", "nvidia-cudnn-cu13": "1.0"}


def test_asking_imports_no_engine() -> None:
    program = (
        "import sys; from ocrhpi.backends.gpu import gpu_usable; gpu_usable('onnxruntime'); "
        "sys.exit(str({'onnxruntime', 'paddle', 'tensorrt'} & set(sys.modules) or ''))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.stderr.strip() == ""
