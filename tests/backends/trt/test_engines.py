from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi.backends.trt.build import BuildSettings
from ocrhpi.backends.trt.engine_cache import LoadedEngine, load_engine
from ocrhpi.backends.trt.gpu import open_gpu
from ocrhpi.backends.trt.request import Profile
from tests.tiny_onnx import write_tiny_onnx

if TYPE_CHECKING:
    from pathlib import Path

    from tests.backends.trt.fake_cuda import FakeCuda

SETTINGS = BuildSettings("fp32", (Profile(4, 320, 320),), 48)
pytestmark = [
    pytest.mark.usefixtures("cache"),
    pytest.mark.parametrize("version", ["8.6.1", "11.4.0.106"], indirect=True),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_tiny_onnx(tmp_path / "tiny.onnx", head="argmax")


def load(trt: Any, cuda: FakeCuda, file: Path) -> LoadedEngine:
    gpu = open_gpu(cuda.driver, None)
    with gpu.current():
        return load_engine(trt, gpu, file, SETTINGS, "tiny")


def test_an_engine_is_built_once(trt: Any, cuda: FakeCuda, file: Path) -> None:
    first, second = load(trt, cuda, file), load(trt, cuda, file)
    assert (first.cached, second.cached) == (False, True)
    assert second.build_seconds == pytest.approx(first.build_seconds, abs=0.06)
    assert len(trt._state.builds) == 1
    assert first.notes == second.notes == ()


@pytest.mark.parametrize("damage", [b"", b"neither an engine nor what was stored"])
def test_a_damaged_engine_is_built_again_with_one_line_in_the_log(
    trt: Any, cuda: FakeCuda, file: Path, cache: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    load(trt, cuda, file)
    (engine,) = cache.rglob("*.engine")
    engine.write_bytes(damage)
    with caplog.at_level(logging.WARNING, "ocrhpi.tensorrt"):
        assert not load(trt, cuda, file).cached
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == [f"TensorRT engine {engine} is built again: it is damaged"]
    assert load(trt, cuda, file).cached


def test_an_engine_that_tensorrt_refuses_is_built_again(
    trt: Any, cuda: FakeCuda, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    load(trt, cuda, file)
    deserialise = trt.Runtime.deserialize_cuda_engine
    monkeypatch.setattr(
        trt.Runtime,
        "deserialize_cuda_engine",
        lambda self, content: deserialise(self, content if len(trt._state.builds) > 1 else b"foreign"),
    )
    assert not load(trt, cuda, file).cached
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "TensorRT does not take it: Serialization assertion" in record.getMessage()


def test_of_two_that_need_an_engine_one_builds_and_the_other_waits(trt: Any, cuda: FakeCuda, file: Path) -> None:
    together = threading.Barrier(2)
    trt._state.on_step = lambda: time.sleep(0.02)

    def use() -> LoadedEngine:
        together.wait()
        return load(trt, cuda, file)

    with ThreadPoolExecutor(2) as pool:
        loaded = [future.result() for future in [pool.submit(use), pool.submit(use)]]
    assert sorted(one.cached for one in loaded) == [False, True]
    assert len(trt._state.builds) == 1


def test_an_engine_that_cannot_be_kept_runs_with_a_note(
    trt: Any, cuda: FakeCuda, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    (note,) = load(trt, cuda, file).notes
    assert "will be built again" in note


def test_timings_of_one_build_serve_the_next(trt: Any, cuda: FakeCuda, file: Path, tmp_path: Path) -> None:
    load(trt, cuda, file)
    load(trt, cuda, write_tiny_onnx(tmp_path / "other.onnx", head="topk"))
    assert [build["timings"] for build in trt._state.builds] == [b"", b"timings"]
