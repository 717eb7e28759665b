from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

from ocrhpi.backends.trt.build import BuildSettings
from ocrhpi.backends.trt.engine_cache import EngineCache, StoredEngine, engine_key
from ocrhpi.backends.trt.gpu import open_gpu
from ocrhpi.backends.trt.request import Profile
from ocrhpi.errors import BackendError
from tests.backends.trt.fake_tensorrt import make_tensorrt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.backends.trt.fake_cuda import FakeCuda

SETTINGS = BuildSettings("fp32", (Profile(4, 320, 320),), 48)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "graph.onnx"
    path.write_bytes(b"graph")
    return path


@pytest.fixture
def key(cuda: FakeCuda, file: Path) -> dict[str, Any]:
    return engine_key(make_tensorrt("10.3.0", cuda), open_gpu(cuda.driver, None), file, SETTINGS)


@pytest.fixture
def entry(key: dict[str, Any], cache: Path) -> EngineCache:  # noqa: ARG001 - sets the folder
    entry = EngineCache(key, "tiny rec")
    with entry.building(None):
        assert entry.store(b"engine", 12.34) == ""
    return entry


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "fp16"},
        {"profiles": (Profile(8, 320, 320),)},
        {"profiles": (Profile(4, 32, 320),)},
        {"profiles": (Profile(4, 320, 320), Profile(1, 640, 640))},
        {"height": 32},
        {"optimization_level": 5},
        {"workspace_mib": 1024},
        {"hardware_compatibility": "ampere_plus"},
    ],
    ids=str,
)
def test_every_setting_is_part_of_the_key(
    cuda: FakeCuda, file: Path, key: dict[str, Any], change: dict[str, Any]
) -> None:
    trt, gpu = make_tensorrt("10.3.0", cuda), open_gpu(cuda.driver, None)
    assert engine_key(trt, gpu, file, replace(SETTINGS, **change)) != key


def test_the_time_a_build_may_take_is_no_part_of_the_key(cuda: FakeCuda, file: Path, key: dict[str, Any]) -> None:
    settings = replace(SETTINGS, seconds=1.0)
    assert engine_key(make_tensorrt("10.3.0", cuda), open_gpu(cuda.driver, None), file, settings) == key


@pytest.mark.parametrize(
    "change", [{"name": "NVIDIA T4"}, {"compute_capability": "7.5"}, {"multiprocessors": 40}], ids=str
)
def test_the_gpu_is_part_of_the_key(cuda: FakeCuda, file: Path, key: dict[str, Any], change: dict[str, Any]) -> None:
    same = {"name": "Fake L4", "compute_capability": "8.9", "multiprocessors": 58}
    trt = make_tensorrt("10.3.0", cuda)
    assert engine_key(trt, SimpleNamespace(**same), file, SETTINGS) == key  # type: ignore[arg-type]
    assert engine_key(trt, SimpleNamespace(**{**same, **change}), file, SETTINGS) != key  # type: ignore[arg-type]


def test_the_version_and_the_graph_are_part_of_the_key(cuda: FakeCuda, file: Path, key: dict[str, Any]) -> None:
    gpu = open_gpu(cuda.driver, None)
    assert engine_key(make_tensorrt("10.3.1", cuda), gpu, file, SETTINGS) != key
    file.write_bytes(b"another graph")
    assert engine_key(make_tensorrt("10.3.0", cuda), gpu, file, SETTINGS) != key


@pytest.mark.parametrize("part", ["onnx_sha256", "precision", "profiles", "tensorrt", "gpu", "system", "format"])
def test_each_part_of_the_key_leads_to_another_file(entry: EngineCache, key: dict[str, Any], part: str) -> None:
    other = EngineCache({**key, part: "other"}, "tiny rec")
    assert other.engine_file != entry.engine_file
    assert other.read() == (None, "")


def test_what_is_stored_is_read(entry: EngineCache, cache: Path) -> None:
    assert entry.read() == (StoredEngine(b"engine", 12.3), "")
    assert entry.directory == cache / "Fake-L4-sm8.9-58mp-tensorrt-10.3.0"
    assert entry.engine_file.name.startswith("tiny-rec-")
    assert [path.name for path in entry.directory.iterdir() if path.suffix == ".tmp"] == []


def test_the_key_can_be_read_by_people(entry: EngineCache, key: dict[str, Any]) -> None:
    text = entry.key_file.read_text("utf-8")
    assert json.loads(text)["key"] == key
    assert '"profiles": [\n      "1 to 4 x 320"\n    ]' in text


def test_a_damaged_engine_is_noticed(entry: EngineCache) -> None:
    entry.engine_file.write_bytes(b"engin")
    assert entry.read() == (None, "it is damaged")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"key": 1}'])
def test_a_damaged_key_file_is_noticed(entry: EngineCache, content: str) -> None:
    entry.key_file.write_text(content, "utf-8")
    engine, reason = entry.read()
    assert engine is None
    assert reason


def test_an_engine_of_another_key_is_noticed(entry: EngineCache, key: dict[str, Any]) -> None:
    record = json.loads(entry.key_file.read_text("utf-8"))
    entry.key_file.write_text(json.dumps({**record, "key": {**key, "gpu": "other"}}), "utf-8")
    assert entry.read() == (None, "its key is another one")


def test_an_engine_without_its_key_counts_as_none(entry: EngineCache) -> None:
    entry.key_file.unlink()
    assert entry.read() == (None, "")


def test_an_interrupted_write_leaves_the_old_content(entry: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    assert "could not be kept, and will be built again: [Errno 28]" in entry.store(b"new", 1.0)
    assert entry.read() == (StoredEngine(b"engine", 12.3), "")
    assert [path.name for path in entry.directory.iterdir() if path.name.endswith(".tmp")] == []


def test_timings_are_shared_by_the_engines_of_a_gpu(entry: EngineCache, key: dict[str, Any]) -> None:
    assert entry.read_timings() == b""
    entry.store_timings(b"measured")
    assert EngineCache({**key, "precision": "fp16"}, "other").read_timings() == b"measured"
    assert EngineCache({**key, "gpu": "other"}, "other").read_timings() == b""


def test_a_second_process_waits_no_longer_than_it_may(entry: EngineCache) -> None:
    with (
        FileLock(entry.directory / ".lock"),
        pytest.raises(BackendError, match=r"another process has been building for this GPU for 0\.05 s"),
        entry.building(0.05),
    ):
        pytest.fail("two processes build")


def test_where_the_cache_cannot_be_written_to_engines_are_kept_as_long_as_the_process_lives(
    tmp_path: Path, key: dict[str, Any], monkeypatch: pytest.MonkeyPatch, spare: Callable[[], Path]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(tmp_path / "file"))
    for kept in (False, True):
        cache = EngineCache(key, "tiny")
        with cache.building(None):
            assert (cache.read()[0] is not None) == kept
            assert not cache.store(b"engine", 1.0)
        assert spare() in cache.engine_file.parents
