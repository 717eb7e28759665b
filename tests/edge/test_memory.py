from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest

from ocrhpi.edge.bundle import Bundle
from ocrhpi.edge.engine import open_engine, return_freed_memory


def resident_mib() -> float:
    status = Path("/proc/self/status").read_text("ascii", "replace")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc"
)
def test_freed_memory_goes_back_to_the_system() -> None:
    pieces = [bytearray(1000) for _ in range(100_000)]
    last = pieces[-1]  # lies behind the others, so that the C library cannot shrink its heap by itself
    del pieces
    before = resident_mib()
    return_freed_memory()
    assert len(last) == 1000
    assert resident_mib() < before - 50


def test_other_systems_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[object] = []
    monkeypatch.setattr("ctypes.CDLL", loaded.append)
    monkeypatch.setattr(sys, "platform", "win32")
    return_freed_memory()
    assert not loaded, "there is no C library to ask"


def test_the_engine_does_not_keep_the_bytes_of_the_graph(made_zip: Path) -> None:
    with Bundle(made_zip) as bundle:
        artifact, classes = bundle.take_artifact(), len(bundle.labels)
    assert artifact.data
    before = sys.getrefcount(artifact.data)
    engine = open_engine("onnxruntime", artifact, classes, "fp32", threads=1)
    after = sys.getrefcount(artifact.data)  # not in the assertion, for which pytest keeps the bytes, too
    assert after == before
    assert engine.version
