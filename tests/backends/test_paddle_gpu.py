"""Paddle on a GPU, as far as a CPU can tell: Paddle's own classes take the settings, and its CPU kernels run."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ocrhpi.backends import paddle_
from ocrhpi.backends.device import TF32_VARIABLE
from ocrhpi.backends.paddle_ import PaddleBackend
from ocrhpi.errors import BackendMismatch, OptionError
from ocrhpi.model import Model, load_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

paddle = pytest.importorskip("paddle")
inference = pytest.importorskip("paddle.inference")

BATCH = np.random.default_rng(0).uniform(-1, 1, (2, 3, 48, 320)).astype(np.float32)
KNOWN_FLAGS = ("FLAGS_cublas_allow_tf32",)


class FakeConfig(inference.Config):  # type: ignore[misc,name-defined,unused-ignore]
    """Paddle's configuration; what only a build for GPUs does is written down instead."""

    made: list[FakeConfig]
    takes_gpu = True

    def __init__(self, graph: str, weights: str) -> None:
        super().__init__(graph, weights)
        self.calls: dict[str, Any] = {}
        self.made.append(self)

    def enable_use_gpu(self, pool_mb: int, index: int, precision: Any) -> None:
        assert precision == inference.PrecisionType.Float32
        self.calls["gpu"] = index
        assert pool_mb > 0

    def use_gpu(self) -> bool:
        return self.takes_gpu

    def gpu_device_id(self) -> int:
        return int(self.calls["gpu"])

    def disable_gpu(self) -> None:
        raise AssertionError("a GPU was asked for")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., SimpleNamespace]:
    """Install a Paddle of two GPUs, and return it."""
    monkeypatch.setenv(TF32_VARIABLE, "to be put back")
    monkeypatch.delenv(TF32_VARIABLE)
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(tmp_path / "cache"))

    def install(*, takes_gpu: bool = True) -> SimpleNamespace:
        flags: dict[str, bool] = {}

        def set_flags(given: dict[str, bool]) -> None:
            if not given.keys() <= set(KNOWN_FLAGS):
                raise ValueError(f"unknown flags {given}")
            flags.update(given)

        made: list[FakeConfig] = []
        config = type("Config", (FakeConfig,), {"made": made, "takes_gpu": takes_gpu})
        fake = SimpleNamespace(
            __version__="9.9.9",
            flags=flags,
            made=made,
            set_flags=set_flags,
            device=SimpleNamespace(
                is_compiled_with_cuda=lambda: True,
                cuda=SimpleNamespace(
                    device_count=lambda: 2,
                    get_device_name=lambda index: f"NVIDIA Fake {index}",
                    get_device_capability=lambda _index: (8, 9),
                ),
            ),
            inference=SimpleNamespace(
                Config=config,
                PrecisionType=inference.PrecisionType,
                create_predictor=inference.create_predictor,
            ),
        )
        monkeypatch.setattr(paddle_, "_import_paddle", lambda: fake)
        return fake

    return install


def test_normal_mode_on_a_gpu_is_fp32_and_says_which_gpu(gpu: Callable[..., SimpleNamespace], tiny_dir: Path) -> None:
    with PaddleBackend(load_model(tiny_dir), "cpu") as cpu:
        expected = cpu.run(BATCH)
    fake = gpu()
    with PaddleBackend(load_model(tiny_dir), "gpu:1") as backend:
        np.testing.assert_array_equal(backend.run(BATCH).indices, expected.indices)
        effective = backend.effective
    assert (effective.device, effective.precision, effective.threads) == ("gpu:1", "fp32", 0)
    expected_settings = {"gpu": "NVIDIA Fake 1", "compute_capability": "8.9", "tf32": False}
    assert effective.settings.items() >= expected_settings.items()
    assert os.environ[TF32_VARIABLE] == "0"
    assert fake.flags == dict.fromkeys(KNOWN_FLAGS, False)
    assert [config.calls for config in fake.made] == [{"gpu": 1}]


def test_without_a_device_a_gpu_that_paddle_finds_is_taken(
    gpu: Callable[..., SimpleNamespace], tiny_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu()
    monkeypatch.setattr(paddle_, "gpu_reason", lambda *_: "")
    with PaddleBackend(load_model(tiny_dir)) as backend:
        assert backend.effective.device == "gpu:0"
    assert os.environ[TF32_VARIABLE] == "0"


def test_a_gpu_that_paddle_inference_leaves_unused_is_a_mismatch(
    gpu: Callable[..., SimpleNamespace], tiny_dir: Path
) -> None:
    gpu(takes_gpu=False)
    with pytest.raises(BackendMismatch, match="asked for device gpu:0, but Paddle Inference does not take it"):
        PaddleBackend(load_model(tiny_dir), "gpu:0").open()
    with pytest.raises(BackendMismatch, match="asked for device gpu:2, but Paddle sees 2 GPUs"):
        PaddleBackend(load_model(tiny_dir), "gpu:2").open()


def test_who_wants_tf32_gets_no_fp32(
    gpu: Callable[..., SimpleNamespace], tiny_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu()
    monkeypatch.setenv(TF32_VARIABLE, "1")
    with pytest.raises(BackendMismatch, match="NVIDIA_TF32_OVERRIDE=1"):
        PaddleBackend(load_model(tiny_dir), "gpu:0").open()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"precision": "fp16"}, "'precision'"),
        ({"precision": "bf16", "onednn": False}, "'precision': received 'bf16'; Paddle runs it by oneDNN on a CPU"),
        ({"precision": "int8"}, "'precision'"),
    ],
    ids=str,
)
def test_options_that_contradict_each_other(v4_mobile: Model, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(OptionError, match=problem):
        PaddleBackend(v4_mobile, "cpu", options)


def test_paddle_itself_knows_the_names_that_the_fakes_take() -> None:
    for name in [name for name in vars(FakeConfig) if not name.startswith("_") and name not in {"made", "takes_gpu"}]:
        assert callable(getattr(inference.Config, name)), name
    assert callable(paddle.device.cuda.get_device_capability)
    assert callable(paddle.device.cuda.get_device_name)


def test_a_real_paddle_refuses_flags_it_does_not_know_by_the_error_that_is_expected() -> None:
    with pytest.raises(ValueError, match="FLAGS_no_such_flag"):
        paddle.set_flags({"FLAGS_no_such_flag": False})
    paddle_._forbid_paddle_tf32(paddle)
