"""Paddle on a GPU, as far as a CPU can tell: Paddle's own classes take the settings, and its CPU kernels run."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ocrhpi.backends import paddle_, paddle_gpu
from ocrhpi.backends.paddle_ import PaddleBackend
from ocrhpi.backends.paddle_gpu import forbid_paddle_tf32, tensorrt_cache
from ocrhpi.backends.tf32 import TF32_VARIABLE
from ocrhpi.errors import BackendMismatch, OptionError
from ocrhpi.model import Model, load_model

if TYPE_CHECKING:
    from collections.abc import Callable

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

    def collect_shape_range_info(self, path: str) -> None:
        self.calls["collect"] = path
        Path(path).write_text("shapes", "utf-8")

    def enable_tensorrt_engine(
        self,
        *,
        workspace_size: int,
        max_batch_size: int,
        min_subgraph_size: int,
        precision_mode: Any,
        use_static: bool,
        use_calib_mode: bool,
    ) -> None:
        assert workspace_size > 0
        assert min_subgraph_size > 0
        assert use_static
        assert not use_calib_mode
        self.calls["tensorrt"] = (max_batch_size, precision_mode)

    def set_optim_cache_dir(self, path: str) -> None:
        assert Path(path).is_dir()

    def enable_tuned_tensorrt_dynamic_shape(self, path: str, outside: bool) -> None:
        assert outside
        assert Path(path).read_text("utf-8") == "shapes"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., SimpleNamespace]:
    """Install a Paddle of two GPUs, and return it."""
    monkeypatch.setenv(TF32_VARIABLE, "to be put back")
    monkeypatch.delenv(TF32_VARIABLE)
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(tmp_path / "cache"))

    def install(*, takes_gpu: bool = True, tensorrt: tuple[int, int, int] = (0, 0, 0)) -> SimpleNamespace:
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
                get_trt_compile_version=lambda: tensorrt,
                get_trt_runtime_version=lambda: tensorrt,
            ),
        )
        monkeypatch.setattr(paddle_, "_import_paddle", lambda: fake)
        return fake

    return install


@pytest.fixture
def narrow(v4_mobile: Model) -> Model:
    """The real model for narrow lines alone, so that the largest shape runs quickly."""
    return replace(v4_mobile, spec=replace(v4_mobile.spec, max_width=400))


def test_normal_mode_on_a_gpu_is_fp32_and_says_which_gpu(gpu: Callable[..., SimpleNamespace], tiny_dir: Path) -> None:
    with PaddleBackend(load_model(tiny_dir), "cpu") as cpu:
        expected = cpu.run(BATCH)
    fake = gpu()
    with PaddleBackend(load_model(tiny_dir), "gpu:1") as backend:
        np.testing.assert_array_equal(backend.run(BATCH).indices, expected.indices)
        effective = backend.effective
    assert (effective.device, effective.precision, effective.threads) == ("gpu:1", "fp32", 0)
    expected_settings = {"gpu": "NVIDIA Fake 1", "compute_capability": "8.9", "tf32": False, "tensorrt": False}
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


@pytest.mark.parametrize(("precision", "kind"), [("fp32", "Float32"), ("fp16", "Half")])
def test_paddles_tensorrt_collects_shapes_once_and_keeps_its_engines(
    gpu: Callable[..., SimpleNamespace], narrow: Model, monkeypatch: pytest.MonkeyPatch, precision: str, kind: str
) -> None:
    fake = gpu(tensorrt=(8, 6, 1))
    monkeypatch.setattr(paddle_gpu, "TENSORRT_LINES", 2)  # a CPU takes its time
    options = {"tensorrt": True, "precision": precision}
    for _ in range(2):
        with PaddleBackend(narrow, "gpu:0", options) as backend:
            assert backend.run(BATCH[:1]).indices.shape[0] == 1
            assert backend.effective.precision == precision
            assert backend.effective.settings.items() >= {"tensorrt": True, "new_ir": False}.items()
    collected = [config for config in fake.made if "collect" in config.calls]
    built = [config.calls["tensorrt"] for config in fake.made if "tensorrt" in config.calls]
    assert len(collected) == 1
    assert built == [(2, getattr(inference.PrecisionType, kind))] * 2


def test_paddles_tensorrt_does_not_take_the_present_format(gpu: Callable[..., SimpleNamespace], tiny_dir: Path) -> None:
    gpu(tensorrt=(8, 6, 1))
    with pytest.raises(BackendMismatch, match=r"inference\.json is PIR.*use the backend 'tensorrt'"):
        PaddleBackend(load_model(tiny_dir), "gpu:0", {"tensorrt": True}).open()


def test_a_paddle_without_tensorrt_says_so(v4_mobile: Model) -> None:
    if any(inference.get_trt_compile_version()):
        pytest.skip("this Paddle is built with TensorRT")
    with pytest.raises(BackendMismatch, match=r"asked for tensorrt=True, but .* built without TensorRT"):
        tensorrt_cache(paddle, v4_mobile, 0, "fp32")


def test_tensorrt_without_a_gpu(v4_mobile: Model) -> None:
    if paddle.device.is_compiled_with_cuda() and paddle.device.cuda.device_count():
        pytest.skip("this machine has a GPU")
    with pytest.raises(BackendMismatch, match="asked for tensorrt=True, but this Paddle finds no GPU"):
        PaddleBackend(v4_mobile, None, {"tensorrt": True}).open()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"precision": "fp16"},
            "'precision': received 'fp16'; Paddle runs it by TensorRT alone, so set tensorrt: true",
        ),
        ({"precision": "bf16", "onednn": False}, "'precision': received 'bf16'; Paddle runs it by oneDNN on a CPU"),
        ({"precision": "int8"}, "'precision'"),
        ({"tensorrt": True}, "'tensorrt': received true on device cpu"),
    ],
    ids=str,
)
def test_options_that_contradict_each_other(v4_mobile: Model, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(OptionError, match=problem):
        PaddleBackend(v4_mobile, "cpu", options)


def test_paddle_itself_knows_the_names_that_the_fakes_take() -> None:
    for name in [name for name in vars(FakeConfig) if not name.startswith("_") and name not in {"made", "takes_gpu"}]:
        assert callable(getattr(inference.Config, name)), name
    arguments = ("workspace_size", "max_batch_size", "min_subgraph_size", "precision_mode", "use_static")
    said = inference.Config.enable_tensorrt_engine.__doc__
    assert all(argument in said for argument in (*arguments, "use_calib_mode"))
    assert callable(paddle.device.cuda.get_device_capability)
    assert callable(paddle.device.cuda.get_device_name)


def test_a_real_paddle_refuses_flags_it_does_not_know_by_the_error_that_is_expected() -> None:
    with pytest.raises(ValueError, match="FLAGS_no_such_flag"):
        paddle.set_flags({"FLAGS_no_such_flag": False})
    forbid_paddle_tf32(paddle)
