"""The directories that engines compile into: keyed, locked, described, and cleared when they fail."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from ocrhpi.backends.compiled import CompiledCache
from ocrhpi.errors import BackendError, BackendMismatch

if TYPE_CHECKING:
    from pathlib import Path

FACTS = {"engine": "1.0", "gpu": "NVIDIA L4"}


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "graph.onnx"
    path.write_bytes(b"graph")
    return path


def make(graph: Path, **facts: str) -> CompiledCache:
    return CompiledCache("engine", graph, {**FACTS, **facts}, str(graph.parent / "cache"))


def test_every_fact_and_the_graph_make_another_directory(graph: Path) -> None:
    first = make(graph).path
    assert make(graph).path == first
    assert first.parent == graph.parent / "cache" / "engines"
    assert first.name.startswith("engine-")
    others = {make(graph, engine="1.1").path, make(graph, gpu="NVIDIA T4").path}
    graph.write_bytes(b"other graph")
    assert len({first, *others, make(graph).path}) == 4


def test_the_directory_says_what_it_is_for(graph: Path) -> None:
    cache = make(graph)
    assert cache.load(cache.path.is_dir) is True
    key = json.loads((cache.path / "key.json").read_text("utf-8"))
    assert key.items() >= FACTS.items()


def test_what_fails_on_kept_engines_is_tried_without_them_once(graph: Path) -> None:
    cache = make(graph)
    calls: list[bool] = []

    def open_engine() -> str:
        kept = (cache.path / "kept.engine").exists()
        calls.append(kept)
        if kept or len(calls) > 2:
            raise BackendError("engine", "damaged")
        return "compiled"

    assert cache.load(open_engine) == "compiled"
    (cache.path / "kept.engine").write_bytes(b"x")
    calls.clear()
    assert cache.load(open_engine) == "compiled"
    assert calls == [True, False]
    with pytest.raises(BackendError, match="damaged"):
        cache.load(open_engine)


def test_a_mismatch_is_no_reason_to_compile_again(graph: Path) -> None:
    cache = make(graph)
    cache.load(lambda: (cache.path / "kept.engine").write_bytes(b"x"))

    def open_engine() -> None:
        raise BackendMismatch("engine", "this", "that")

    with pytest.raises(BackendMismatch):
        cache.load(open_engine)
    assert (cache.path / "kept.engine").is_file()


def test_of_those_that_come_at_once_one_compiles(graph: Path) -> None:
    compiled: list[None] = []

    def load() -> bool:
        cache = make(graph)
        engine = cache.path / "kept.engine"

        def open_engine() -> bool:
            if engine.exists():
                return False
            compiled.append(None)
            engine.write_bytes(b"x")
            return True

        return cache.load(open_engine)

    with ThreadPoolExecutor(6) as pool:
        assert sum(one.result() for one in [pool.submit(load) for _ in range(12)]) == 1
    assert len(compiled) == 1
