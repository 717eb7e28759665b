from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ocrhpi.backends.device import Device
from ocrhpi.backends.onnxruntime_ import OnnxRuntimeBackend
from ocrhpi.errors import BackendMismatch, BackendUnavailable, OptionError
from ocrhpi.machine import usable_cores
from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from ocrhpi.model import Model

onnxruntime = pytest.importorskip("onnxruntime")

BATCH = np.random.default_rng(0).uniform(-1, 1, (2, 3, 48, 320)).astype(np.float32)
needs_no_gpu = pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this ONNX Runtime has CUDA"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_onnx_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"threads": 1},
        {"spinning": False},
        {"arena": False},
        {"inter_op": 2},
        {"requests": 4},
        *({"graph_level": level} for level in ("all", "extended", "basic", "disabled")),
    ],
    ids=str,
)
def test_settings_are_in_force_and_read_the_same(model: Model, options: dict[str, Any]) -> None:
    with OnnxRuntimeBackend(model, "cpu") as default, OnnxRuntimeBackend(model, "cpu", options) as backend:
        expected, got = default.run(BATCH), backend.run(BATCH)
        np.testing.assert_array_equal(got.indices, expected.indices)
        np.testing.assert_allclose(got.probs, expected.probs, atol=1e-5)
        effective = backend.effective
        assert effective.threads == options.pop("threads", usable_cores())
        assert effective.settings["providers"] == ["CPUExecutionProvider"]
        assert effective.settings.items() >= options.items()


@needs_no_gpu
def test_without_a_device_the_cpu_runs_where_there_is_no_other(model: Model) -> None:
    with OnnxRuntimeBackend(model) as backend:
        assert backend.effective.device == "cpu"
        assert backend.effective.notes == ()


@needs_no_gpu
def test_a_gpu_without_cuda_is_never_replaced_by_the_cpu(model: Model) -> None:
    with pytest.raises(BackendMismatch, match=r"asked for device gpu:0, but .* has no CUDAExecutionProvider"):
        OnnxRuntimeBackend(model, "gpu").open()


@pytest.mark.parametrize("device", ["npu", "cpu:1"])
def test_devices_it_does_not_know_are_refused(model: Model, device: str) -> None:
    with pytest.raises(BackendMismatch, match=f"asked for device {device}.*it knows 'cpu' and 'gpu:INDEX'"):
        OnnxRuntimeBackend(model, device).open()


@needs_no_gpu
@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
def test_a_provider_that_onnxruntime_replaces_in_silence_is_noticed(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnnxRuntimeBackend, "_choose_device", lambda _self, _available: Device("gpu"))
    with pytest.raises(BackendMismatch, match="asked for device gpu:0, but ONNX Runtime runs on CPUExecutionProvider"):
        OnnxRuntimeBackend(model, "gpu").open()
    with OnnxRuntimeBackend(model) as backend:
        assert backend.effective.device == "cpu"
        (note,) = backend.effective.notes
        assert "the GPU failed" in note


def test_a_missing_library_is_a_sentence_with_the_install_line(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'ocrhpi\[onnxruntime\]'"):
        OnnxRuntimeBackend(model, "cpu").open()


@pytest.mark.parametrize(
    "options", [{"threads": 0}, {"spinning": 1}, {"graph_level": "most"}, {"inter_op": 0}], ids=str
)
def test_options_that_do_not_fit(model: Model, options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        OnnxRuntimeBackend(model, "cpu", options)
