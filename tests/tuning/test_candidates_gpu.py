"""Which candidates a tuning tries on a GPU, by what is installed and by what the machine has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi import tuner
from ocrhpi.backends import gpu, registry
from ocrhpi.config.candidate import Candidate
from ocrhpi.config.hpi_config import HpiConfig, read_hpi_config
from ocrhpi.errors import OptionError
from ocrhpi.machine import describe_machine
from ocrhpi.model import ModelFiles
from ocrhpi.tuning.candidates import Grid, default_device
from tests.tuning.fileless import fileless_model
from tests.tuning.grids import grid_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrhpi.model import Model

PADDLE = ModelFiles(paddle_graph=Path("m/inference.json"), paddle_parameters=Path("m/inference.pdiparams"))
MODEL = fileless_model(PADDLE)
ONNX_MODEL = fileless_model(ModelFiles(onnx=Path("m/inference.onnx")))
TWO: dict[str, Any] = {"gpus": ["NVIDIA L4", "NVIDIA L4"], "gpu_visible": None}
NONE: dict[str, Any] = {"gpus": [], "gpu_visible": None}
RTX = "onnxruntime_ep_nv_tensorrt_rtx"


@pytest.fixture
def gpu_engines(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let these be the packages and modules for GPUs; the engines themselves are those of this environment."""

    def install(*names: str) -> None:
        monkeypatch.setattr(gpu, "_installed", lambda package: "1.0" if package in names else "")
        monkeypatch.setattr(gpu, "_findable", names.__contains__)
        monkeypatch.setattr(gpu, "_has_intel_gpu", lambda: False)
        monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)

    # Whether it is installed here makes no difference to these tests.
    without = [
        replace(spec, modules=("no_such_module",)) if spec.name == "tensorrt" else spec for spec in registry._BUILT_IN
    ]
    monkeypatch.setattr(registry, "_BUILT_IN", tuple(without))
    return install


def gpu_grid(device: str, machine: dict[str, Any] = TWO, model: Model = MODEL, **asked: Any) -> Grid:
    return grid_of(model, device, machine=machine, **asked)


def providers(grid: Grid) -> set[str]:
    return {str(one.options["provider"]) for one in grid.candidates if one.backend == "onnxruntime"}


def reasons(grid: Grid) -> dict[str, str]:
    return {row.candidate.name.partition(", exact")[0]: row.reason for row in grid.left_out}


@pytest.mark.parametrize(
    ("names", "backend", "device"),
    [
        (("paddlepaddle-gpu", "onnxruntime-gpu"), "paddle", "gpu:1"),
        (("onnxruntime-gpu",), "onnxruntime", "gpu:1"),
        ((RTX,), "paddle", "cpu"),
    ],
)
def test_normal_mode_is_paddle_on_the_gpu_else_onnx_runtime_by_cuda_else_the_cpu(
    gpu_engines: Callable[..., None], names: tuple[str, ...], backend: str, device: str
) -> None:
    gpu_engines(*names)
    grid = gpu_grid("gpu:1")
    assert grid.baseline == Candidate(backend=backend, device=device)
    assert {candidate.device for candidate in grid.candidates} == {"gpu:1"}


def test_every_installed_provider_is_tried_and_every_other_is_one_row(gpu_engines: Callable[..., None]) -> None:
    gpu_engines("onnxruntime-gpu", RTX)
    grid = gpu_grid("gpu:0")
    assert providers(grid) == {"cuda", "tensorrt-rtx"}
    assert {candidate.precision for candidate in grid.candidates} == {"fp32", "fp16"}
    found = reasons(grid)
    assert "paddlepaddle-gpu is not installed" in found["paddle"]
    assert "Intel's GPUs" in found["openvino"]
    assert not [name for name in found if name.startswith("onnxruntime")]
    assert all(row.outcome == "skipped" for row in grid.left_out)


def test_versions_of_gpu_packages_are_part_of_the_key_on_a_gpu_alone(gpu_engines: Callable[..., None]) -> None:
    gpu_engines("onnxruntime-gpu", "nvidia-cudnn-cu13")
    assert gpu_grid("gpu:0").engines.items() >= {"onnxruntime-gpu": "1.0", "nvidia-cudnn-cu13": "1.0"}.items()
    assert "onnxruntime-gpu" not in gpu_grid("cpu").engines


def test_equal_text_comes_first_and_half_precision_after_it(gpu_engines: Callable[..., None]) -> None:
    gpu_engines("onnxruntime-gpu")
    candidates = gpu_grid("gpu:0").candidates
    lossless = [candidate.lossless for candidate in candidates]
    assert lossless == sorted(lossless, reverse=True)
    assert {candidate.precision for candidate in candidates if not candidate.lossless} == {"fp16", "fp32"}


@pytest.mark.parametrize(
    ("names", "machine", "device", "reason"),
    [
        (("onnxruntime-gpu",), NONE, "gpu:0", "no NVIDIA GPU with a loaded driver"),
        (("onnxruntime-gpu",), TWO, "gpu:2", "gpu:2 was asked for, and this machine has 2"),
        ((), TWO, "gpu:0", r"onnxruntime-gpu is not installed: pip install 'ocrhpi\[onnxruntime-gpu\]'"),
    ],
)
def test_a_gpu_that_nothing_runs_on_is_an_error_with_all_reasons(
    gpu_engines: Callable[..., None], names: tuple[str, ...], machine: dict[str, Any], device: str, reason: str
) -> None:
    gpu_engines(*names)
    with pytest.raises(OptionError, match=f"received '{device}', but nothing here runs on it: .*{reason}"):
        gpu_grid(device, machine)


@pytest.mark.parametrize(
    ("names", "machine", "asked", "device"),
    [
        (("onnxruntime-gpu",), TWO, {}, "gpu:0"),
        ((RTX,), TWO, {}, "gpu:0"),
        ((), TWO, {}, "cpu"),
        (("onnxruntime-gpu", "paddlepaddle-gpu"), NONE, {}, "cpu"),
        (("onnxruntime-gpu",), {**TWO, "gpu_visible": ""}, {}, "cpu"),
        (("onnxruntime-gpu",), TWO, {"auto_paddle2onnx": False}, "cpu"),
        (("onnxruntime-gpu",), TWO, {"backend": "openvino"}, "cpu"),
        (("onnxruntime-gpu",), TWO, {"backend": "onnxruntime"}, "gpu:0"),
        (("tensorrt",), TWO, {}, "cpu"),
    ],
    ids=str,
)
def test_without_a_device_it_is_a_gpu_where_something_runs_on_it(
    gpu_engines: Callable[..., None],
    names: tuple[str, ...],
    machine: dict[str, Any],
    asked: dict[str, Any],
    device: str,
) -> None:
    gpu_engines(*names)
    chosen = default_device(MODEL, read_hpi_config(asked), machine)
    assert chosen == device
    assert gpu_grid(chosen, machine, **asked).baseline


def test_a_model_without_paddle_files_does_not_run_on_paddles_gpu(gpu_engines: Callable[..., None]) -> None:
    gpu_engines("paddlepaddle-gpu")
    assert default_device(MODEL, HpiConfig(), TWO) == "gpu:0"
    assert default_device(ONNX_MODEL, HpiConfig(), TWO) == "cpu"


@pytest.mark.parametrize(("machine", "device"), [(TWO, "gpu:0"), (NONE, "cpu")], ids=["with GPUs", "without"])
def test_a_plan_takes_the_default_and_keeps_the_devices_apart(
    gpu_engines: Callable[..., None],
    v4_mobile: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    machine: dict[str, Any],
    device: str,
) -> None:
    gpu_engines("onnxruntime-gpu")
    described = {**describe_machine(), **machine}
    monkeypatch.setattr(tuner, "describe_machine", lambda: described)
    config = read_hpi_config({"cache_dir": str(tmp_path)})
    planned = tuner.plan(v4_mobile, config)
    assert (planned.device, planned.grid.baseline.device) == (device, device)
    assert planned.key["device"] == device
    assert tuner.plan(v4_mobile, config, "cpu").device == "cpu"
