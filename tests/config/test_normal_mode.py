"""Which engine runs where nothing was measured."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi.backends import gpu, registry
from ocrhpi.config.candidate import Candidate
from ocrhpi.config.normal_mode import _say_once, normal_mode
from ocrhpi.errors import OptionError
from ocrhpi.model import Model, ModelFiles
from ocrhpi.values import InputSpec

if TYPE_CHECKING:
    from collections.abc import Callable

PADDLE = ModelFiles(paddle_graph=Path("m/inference.json"), paddle_parameters=Path("m/inference.pdiparams"))
ONNX = ModelFiles(onnx=Path("m/inference.onnx"))
BOTH = replace(PADDLE, onnx=Path("m/inference.onnx"))
TWO: dict[str, Any] = {"gpus": ["NVIDIA L4", "NVIDIA L4"], "gpu_visible": None}
NONE: dict[str, Any] = {"gpus": [], "gpu_visible": None}


def model(files: ModelFiles, name: str = "m") -> Model:
    return Model(name, Path("m"), files, InputSpec(), ("a",))


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let these engines be installed, and no others."""

    def install(*names: str) -> None:
        specs = [
            replace(spec, modules=("json",) if spec.name in names else ("no_such_module",))
            for spec in registry._BUILT_IN
        ]
        monkeypatch.setattr(registry, "_BUILT_IN", specs)

    return install


@pytest.mark.parametrize(
    ("files", "installed", "backend"),
    [
        (PADDLE, ("paddle", "openvino", "onnxruntime", "tensorrt"), "paddle"),
        (BOTH, ("paddle", "openvino", "onnxruntime"), "paddle"),
        (PADDLE, ("openvino", "onnxruntime"), "onnxruntime"),
        (PADDLE, ("openvino",), "openvino"),
        (ONNX, ("paddle", "openvino", "onnxruntime"), "onnxruntime"),
        (ONNX, ("paddle", "openvino"), "openvino"),
    ],
)
@pytest.mark.parametrize("device", ["cpu", None])
def test_it_is_paddle_else_onnx_runtime_else_openvino(
    only: Callable[..., None], files: ModelFiles, installed: tuple[str, ...], backend: str, device: str | None
) -> None:
    only(*installed)
    chosen = normal_mode(model(files), device)
    assert chosen == Candidate(backend=backend, device=device)
    assert (chosen.precision, chosen.batching, chosen.batch_size) == ("fp32", "exact", 1)
    assert normal_mode(model(files), device, threads=3).options == {"threads": 3}


@pytest.mark.parametrize(
    ("files", "installed", "hint"),
    [
        (PADDLE, ("tensorrt",), r"pip install 'ocrhpi\[paddle\]' or .*\[onnxruntime\]' or .*\[openvino\]'\.$"),
        (ONNX, ("paddle",), r"runs m: pip install 'ocrhpi\[onnxruntime\]' or .*\[openvino\]'\.$"),
    ],
)
def test_where_nothing_runs_the_model_the_error_says_what_would(
    only: Callable[..., None], files: ModelFiles, installed: tuple[str, ...], hint: str
) -> None:
    only(*installed)
    with pytest.raises(OptionError, match=hint):
        normal_mode(model(files))


@pytest.mark.parametrize(
    ("files", "packages", "machine", "backend", "device"),
    [
        (PADDLE, ("paddlepaddle-gpu", "onnxruntime-gpu"), TWO, "paddle", "gpu:1"),
        (PADDLE, ("onnxruntime-gpu",), TWO, "onnxruntime", "gpu:1"),
        (PADDLE, ("onnxruntime-gpu",), NONE, "paddle", "cpu"),
        (ONNX, ("paddlepaddle-gpu",), TWO, "onnxruntime", "cpu"),
        (PADDLE, (), TWO, "paddle", "cpu"),
    ],
)
def test_on_a_gpu_it_is_the_first_that_uses_it_by_cuda_else_it_stays_on_the_cpu(
    only: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    files: ModelFiles,
    packages: tuple[str, ...],
    machine: dict[str, Any],
    backend: str,
    device: str,
) -> None:
    only("paddle", "openvino", "onnxruntime")
    monkeypatch.setattr(gpu, "_installed", lambda package: "1.0" if package in packages else "")
    monkeypatch.setattr(gpu, "_findable", lambda _: False)
    monkeypatch.setattr(gpu, "_has_intel_gpu", lambda: True)  # OpenVINO has no CUDA
    assert normal_mode(model(files), "gpu:1", machine=machine) == Candidate(backend=backend, device=device)


@pytest.mark.parametrize("device", ["cpu", None])
def test_the_machine_is_asked_for_a_gpu_alone(monkeypatch: pytest.MonkeyPatch, device: str | None) -> None:
    monkeypatch.setattr(gpu, "describe_machine", lambda: pytest.fail("it was asked"))
    assert normal_mode(model(PADDLE), device)


def test_of_a_model_that_is_onnx_alone_it_is_said_once(
    only: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    _say_once.cache_clear()
    only("paddle", "openvino")
    with caplog.at_level(logging.INFO, "ocrhpi"):
        for _ in range(3):
            normal_mode(model(ONNX, "one"))
            normal_mode(model(ONNX, "other"), "cpu")
            normal_mode(model(BOTH))
    assert caplog.messages == [f"{name} is ONNX alone: normal mode is OpenVINO in FP32" for name in ("one", "other")]


def test_it_takes_neither_engines_nor_the_tuning() -> None:
    program = (
        "import sys, ocrhpi.config.normal_mode; "
        "sys.exit(str({'ocrhpi.tuning', 'cv2', 'paddle', 'onnxruntime', 'openvino'} & set(sys.modules) or ''))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.stderr.strip() == ""
