from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

from ocrhpi.backends import onnxruntime_
from ocrhpi.backends.onnxruntime_ import OnnxRuntimeBackend
from ocrhpi.backends.ort.libraries import RTX_MODULE
from ocrhpi.errors import BackendMismatch, BackendUnavailable, OptionError
from ocrhpi.machine import usable_cores
from ocrhpi.model import ModelFiles
from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from pathlib import Path

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
def test_without_a_device_a_gpu_that_fails_is_a_note(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime_, "gpu_reason", lambda *_: "")
    with OnnxRuntimeBackend(model) as backend:
        assert backend.effective.device == "cpu"
        (note,) = backend.effective.notes
        assert "the GPU failed" in note
        assert "no CUDAExecutionProvider" in note
    with pytest.raises(BackendMismatch, match="asked for device gpu:0, but"):
        OnnxRuntimeBackend(model, None, {"provider": "cuda"}).open()


@needs_no_gpu
def test_tensorrt_for_rtx_is_asked_for_with_the_install_line(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    monkeypatch.setitem(sys.modules, RTX_MODULE, None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'ocrhpi\[tensorrt-rtx\]'"):
        OnnxRuntimeBackend(model, "gpu", {"provider": "tensorrt-rtx"}).open()


def with_precision(source: Path, target: Path, precision: str) -> Path:
    """Copy an ONNX file and say in its metadata which precision it has."""
    graph = onnx.load(source)
    onnx.helper.set_model_props(graph, {"precision": precision})
    onnx.save(graph, target)
    return target


def test_the_precision_is_the_graphs(model: Model, tmp_path: Path) -> None:
    assert model.files.onnx is not None
    half = with_precision(model.files.onnx, tmp_path / "half.onnx", "fp16")
    half_model = replace(model, files=ModelFiles(onnx=half))
    with OnnxRuntimeBackend(half_model, "cpu", {"precision": "fp16"}) as backend:
        assert backend.effective.precision == "fp16"
        (note,) = backend.effective.notes
        assert "computes in FP32 between casts" in note
        assert backend.run(BATCH).indices.shape[0] == 2
    with pytest.raises(BackendMismatch, match=r"asked for precision fp32, but the graph .*half\.onnx is fp16"):
        OnnxRuntimeBackend(half_model, "cpu").open()
    with pytest.raises(BackendMismatch, match=r"asked for precision fp16, but the graph .* is fp32"):
        OnnxRuntimeBackend(model, "cpu", {"precision": "fp16"}).open()


def test_shapes_to_come_change_nothing_on_a_cpu(model: Model) -> None:
    with OnnxRuntimeBackend(model, "cpu") as default:
        expected = default.run(BATCH)
    with OnnxRuntimeBackend(model, "cpu", {"shapes": [(2, 320)]}) as backend:
        np.testing.assert_array_equal(backend.run(BATCH).indices, expected.indices)
        assert backend.effective.notes == ()
        assert all(ms > 0 for ms in backend.device_ms(2, 320, 2))


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
