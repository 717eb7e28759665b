"""What is opened for each provider, and what is refused since ONNX Runtime would run something else."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ocrhpi.backends.onnxruntime_ import OnnxRuntimeBackend
from ocrhpi.backends.ort import libraries
from ocrhpi.backends.ort.options import CUDA
from ocrhpi.engines.onnxruntime_ import CPU
from ocrhpi.errors import BackendError, BackendMismatch
from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrhpi.model import Model
    from tests.backends.ort.fake_onnxruntime import FakeOnnxRuntime

BATCH = np.random.default_rng(0).uniform(-1, 1, (2, 3, 48, 320)).astype(np.float32)
RTX = "NvTensorRTRTXExecutionProvider"
RTX_OPTIONS = {"provider": "tensorrt-rtx", "shapes": [(2, 320)]}


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return tiny_onnx_model(tmp_path / "model", head="argmax")


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "")
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE")


@pytest.fixture
def rtx(gpu: Callable[..., FakeOnnxRuntime], monkeypatch: pytest.MonkeyPatch) -> FakeOnnxRuntime:
    """An ONNX Runtime into which the plugin with TensorRT for RTX can be registered."""
    plugin = ModuleType(libraries.RTX_MODULE)
    plugin.get_ep_name = lambda: RTX  # type: ignore[attr-defined]
    plugin.get_library_path = lambda: "rtx.so"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, libraries.RTX_MODULE, plugin)
    return gpu(available=(CPU,))


def cache_of(fake: FakeOnnxRuntime) -> Path:
    _, given = fake.sessions[-1].options.plugin or pytest.fail("no plugin")
    return Path(given["nv_runtime_cache_path"])


def test_cuda_says_what_runs(gpu: Callable[..., FakeOnnxRuntime], model: Model) -> None:
    fake = gpu()
    with OnnxRuntimeBackend(model, "gpu:1", {"conv_search": "default"}) as backend:
        effective = backend.effective
        assert (effective.device, effective.precision, effective.threads) == ("gpu:1", "fp32", 0)
        assert effective.notes == ()
        expected: dict[str, Any] = {
            "provider": "cuda",
            "providers": [CUDA, CPU],
            "gpu": "NVIDIA Fake",
            "compute_capability": "8.9",
            "nodes": {CUDA: 9},
            "conv_search": "default",
            "cuda_graphs": False,
        }
        assert {name: effective.settings[name] for name in expected} == expected
        json.dumps(effective.settings)
        assert fake.sessions[0].asked[CUDA]["device_id"] == "1"
        assert fake.sessions[0].asked[CUDA]["use_tf32"] == "0"
        assert backend.run(BATCH).indices.shape[0] == 2


def test_without_a_record_of_nodes_a_profiled_run_tells(gpu: Callable[..., FakeOnnxRuntime], model: Model) -> None:
    gpu(records=False)
    # The nodes really run on the CPU, and the profile says so.
    with pytest.raises(BackendMismatch, match=r"left a part of the network elsewhere: .*Conv on CPUExecutionProvider"):
        OnnxRuntimeBackend(model, "gpu").open()


def test_a_convolution_on_the_cpu_is_a_mismatch(gpu: Callable[..., FakeOnnxRuntime], model: Model) -> None:
    gpu(stray="Conv")
    with pytest.raises(BackendMismatch, match=r"asked for device gpu:0, but .* elsewhere: 2 Conv on CPU"):
        OnnxRuntimeBackend(model, "gpu").open()


def test_a_provider_that_does_not_load_is_named_with_the_loaders_reason(
    gpu: Callable[..., FakeOnnxRuntime], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu(loads=(CPU,))
    monkeypatch.setattr(libraries, "why_cuda_not_loaded", lambda *_: "libcublas.so.13: cannot open")
    with pytest.raises(BackendMismatch, match=r"since CUDAExecutionProvider did not load: libcublas\.so\.13") as error:
        OnnxRuntimeBackend(model, "gpu").open()
    assert "pip install 'ocrhpi[onnxruntime-gpu]'" in str(error.value)
    monkeypatch.setattr(libraries, "why_cuda_not_loaded", lambda *_: "")
    with pytest.raises(BackendMismatch, match=r"did not load: Failed to load libcudnn\.so\.9"):
        OnnxRuntimeBackend(model, "gpu").open()


def test_a_setting_that_is_not_in_force_is_a_mismatch(gpu: Callable[..., FakeOnnxRuntime], model: Model) -> None:
    gpu(tells={"use_tf32": "1"})
    with pytest.raises(
        BackendMismatch, match=r"with \{'use_tf32': '0'\}, but ONNX Runtime runs with \{'use_tf32': '1'\}"
    ):
        OnnxRuntimeBackend(model, "gpu").open()


def test_a_provider_that_does_not_report_is_noted(gpu: Callable[..., FakeOnnxRuntime], model: Model) -> None:
    gpu(silent=True)
    with OnnxRuntimeBackend(model, "gpu") as backend:
        (note,) = backend.effective.notes
        assert "does not report" in note
        assert "use_tf32" in note


def test_compiled_code_has_a_directory_for_each_set_of_versions_and_shapes(
    rtx: FakeOnnxRuntime, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for version, shapes in (("0.5", [(2, 320)]), ("0.5", [(2, 320)]), ("0.6", [(2, 320)]), ("0.5", [(4, 320)])):
        monkeypatch.setattr(libraries, "rtx_version", lambda version=version: version)
        with OnnxRuntimeBackend(model, "gpu", {**RTX_OPTIONS, "shapes": shapes}) as backend:
            assert backend.effective.settings["providers"] == [RTX, CPU]
            paths.append(cache_of(rtx))
    assert paths[0] == paths[1]
    assert len(set(paths)) == 3
    key = json.loads((paths[0] / "key.json").read_text("utf-8"))
    assert key.items() >= {"engine": "0.5", "gpu": "NVIDIA Fake", "compute_capability": "8.9"}.items()
    assert (key["precision"], key["shapes"]) == ("fp32", [[2, 320]])
    assert len(key["graph"]) == 64
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"


def test_an_engine_that_fails_is_compiled_again_once(rtx: FakeOnnxRuntime, model: Model) -> None:
    with OnnxRuntimeBackend(model, "gpu", RTX_OPTIONS):
        cache = cache_of(rtx)
    (cache / "compiled.engine").write_bytes(b"damaged")
    sessions = FailsSecond(rtx)
    with OnnxRuntimeBackend(model, "gpu", RTX_OPTIONS) as backend:
        assert sessions.failed == 1
        assert not (cache / "compiled.engine").exists()
        assert backend.run(BATCH).indices.shape[0] == 2
    rtx.failures = ["no GPU memory"]
    with pytest.raises(BackendError, match="no GPU memory"):
        OnnxRuntimeBackend(model, "gpu", RTX_OPTIONS).open()


class FailsSecond:
    """Lets the second session fail: the first one reads the inputs."""

    def __init__(self, fake: FakeOnnxRuntime) -> None:
        self.failed = self.count = 0
        make = fake.InferenceSession

        def session(*arguments: Any, **named: Any) -> Any:
            self.count += 1
            if self.count == 2:
                self.failed += 1
                raise RuntimeError("could not deserialize engine")
            return make(*arguments, **named)

        session.get_provider_graph_assignment_info = True  # type: ignore[attr-defined]
        fake.InferenceSession = session


def test_tensorrt_for_rtx_is_a_plugin_with_its_runtime_cache(rtx: FakeOnnxRuntime, model: Model) -> None:
    options = {"provider": "tensorrt-rtx", "shapes": [(2, 320), (1, 640)]}
    with OnnxRuntimeBackend(model, "gpu:1", options) as backend:
        assert rtx.registered == [RTX]
        device, given = rtx.sessions[-1].options.plugin or pytest.fail("no plugin")
        assert device.ep_options == {"device_id": "1"}
        assert given["nv_profile_max_shapes"] == "x:2x3x48x320,x:1x3x48x640"
        assert Path(given["nv_runtime_cache_path"], "key.json").is_file()
        assert backend.effective.settings["provider"] == "tensorrt-rtx"
        assert backend.effective.settings["providers"] == [RTX, CPU]
        assert backend.run(BATCH).indices.shape[0] == 2
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"


@pytest.mark.usefixtures("rtx")
def test_tf32_that_the_environment_asks_for_is_no_fp32(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    with pytest.raises(BackendMismatch, match="NVIDIA_TF32_OVERRIDE=1"):
        OnnxRuntimeBackend(model, "gpu", RTX_OPTIONS).open()
