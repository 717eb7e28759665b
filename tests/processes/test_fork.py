"""Processes that were forked from one that reads: they read the same, with an engine of their own, and never hang."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ocrhpi import forks
from ocrhpi.errors import BackendClosed
from ocrhpi.model import load_model
from ocrhpi.reading.engine import EngineReader
from ocrhpi.reading.fallback import FallbackReader
from ocrhpi.testing import StripeBackend
from ocrhpi.workers.process import WorkerProcess, WorkerProcessFailed
from tests.processes.forking import forked
from tests.reading.fake_reader import MODEL, FakeReader, line
from tests.serving.fakes import write_tiny_onnx_model

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),  # Python 3.12 advises against it
]

ROOT = Path(__file__).parents[2]
LIMIT_S = 60.0
DOORS = {
    "paddle": ["engine", "shared"],
    "onnxruntime": ["engine", "split", "shared"],
    "openvino": ["engine", "forced", "shared"],
}


@pytest.mark.parametrize("engine", DOORS)
def test_children_read_what_the_parent_reads(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if importlib.util.find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed")
    model = request.getfixturevalue("tiny_dir") if engine == "paddle" else write_tiny_onnx_model(tmp_path / "model")
    asked = {"doors": DOORS[engine], "model": str(model), "engine": engine, "cache": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "tests.processes.forking", json.dumps(asked)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout.splitlines()[-1])
    texts: dict[str, list[str]] = found.pop("texts")
    assert found.pop("distinct") == 1
    assert all(any(read) for read in texts.values())
    assert found == {
        "forked": 0,
        "ends without reading": 0,
        "grandchild": 0,
        "closes at once": 0,
        "forked by C": 0,
        "pool": [True, True],
        "beside": [0, 0],
        "parent": True,
    }, run.stderr[-3000:]


class GpuBackend(StripeBackend):
    runs_on = "gpu:0"


@pytest.fixture
def inherited() -> GpuBackend:
    """An engine on a GPU, as a forked child finds it."""
    backend = GpuBackend(MODEL).open()
    backend.renew_after_fork()
    return backend


def test_an_engine_on_a_gpu_says_what_to_do(inherited: GpuBackend) -> None:
    with EngineReader(inherited.model, inherited) as reader, pytest.raises(BackendClosed) as caught:
        reader.read([line(320)])
    assert "open on gpu:0 in the process that this one was forked from" in str(caught.value)
    assert "load the model after the fork, or start processes with 'spawn'" in str(caught.value)


def test_no_other_engine_takes_its_place(inherited: GpuBackend, caplog: pytest.LogCaptureFixture) -> None:
    sources = [("gpu", lambda: EngineReader(inherited.model, inherited)), ("other", lambda: FakeReader("other"))]
    with FallbackReader(sources) as reader, pytest.raises(BackendClosed, match="forked"):
        list(reader.read_each([line(320), line(200)]))
    assert not caplog.records


def test_what_was_closed_stays_closed() -> None:
    backend = StripeBackend(MODEL).open()
    backend.close()
    backend.renew_after_fork()
    with EngineReader(MODEL, StripeBackend(MODEL).open()) as reader:
        (request,) = reader.prepare([line(320)])
    with pytest.raises(BackendClosed, match="closed"):
        backend.run(*request)


def test_a_child_leaves_the_workers_of_its_parent_alone(tmp_path: Path) -> None:
    def use_and_close() -> bool:
        with pytest.raises(WorkerProcessFailed, match="forked"):
            worker.ask("echo", LIMIT_S, value=2)
        worker.kill()
        worker.close()
        return not worker.alive

    command = [sys.executable, "-m", "tests.workers.fake_session"]
    with WorkerProcess(command, tmp_path / "log", stop_between=False, cwd=ROOT) as worker:
        assert worker.ask("echo", LIMIT_S, value=1) == 1
        assert forked(use_and_close) == 0
        assert worker.ask("echo", LIMIT_S, value=3) == 3


def test_locks_and_threads_are_new_in_a_child() -> None:
    lock, threads = forks.RenewedLock(), forks.RenewedThreads(1, "test")
    once: forks.OncePerProcess[int] = forks.OncePerProcess(os.getpid)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            done.wait(LIMIT_S)

    def usable() -> bool:
        with lock:
            return threads.submit(os.getpid).result(LIMIT_S) == os.getpid() == once()

    assert threads.submit(once).result(LIMIT_S) == os.getpid()
    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(LIMIT_S)
    try:
        assert forked(usable) == 0
    finally:
        done.set()
        thread.join()
        threads.shutdown()


def test_a_model_may_be_hashed_in_another_thread_meanwhile(tmp_path: Path) -> None:
    model = load_model(write_tiny_onnx_model(tmp_path / "model"))
    lock = getattr(type(model).__dict__["fingerprint"], "lock", None)
    if lock is None:
        pytest.skip("this Python has no locks there")
    with ThreadPoolExecutor(1) as other:
        other.submit(lock.acquire).result()
        assert forked(lambda: len(model.fingerprint) == 64) == 0
        other.submit(lock.release).result()


def test_a_lock_held_by_the_thread_that_forks_is_freed_once() -> None:
    def nested() -> int:
        with lock:
            return forked(lambda: True)

    def inside() -> bool:
        with lock:
            if os.getpid() == parent:
                return True
        with lock:
            return True

    lock, parent = forks.RenewedLock(threading.RLock, holds_forks=True), os.getpid()
    assert nested() == 0
    assert forked(inside) == 0


def test_a_fork_waits_for_an_engine_in_its_work_but_not_for_its_own() -> None:
    inside = threading.Event()

    def work() -> None:
        with forks.without_forks():
            inside.set()
            time.sleep(0.3)

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(LIMIT_S)
    start = time.monotonic()
    assert forked(lambda: not thread.is_alive()) == 0
    assert 0.2 < time.monotonic() - start < LIMIT_S / 2
    thread.join()
    start = time.monotonic()
    with forks.without_forks():
        assert forked(lambda: True) == 0
    assert time.monotonic() - start < 5


def test_one_that_cannot_be_renewed_does_not_keep_the_others_from_it() -> None:
    class Broken:
        def renew_after_fork(self) -> None:
            raise RuntimeError("cannot be renewed")

    class Counted:
        renewals = 0

        def renew_after_fork(self) -> None:
            self.renewals += 1

    things: list[Any] = [Counted(), Broken(), Counted()]
    for thing in things:
        forks.renew_in_children(thing)
    assert forked(lambda: things[0].renewals == things[2].renewals == 1) == 0
