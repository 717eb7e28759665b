"""Real processes: what they read, what happens when they die, and that they end."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from ocrhpi.batch.pool import LocalPool, share_of_a_worker
from ocrhpi.errors import WorkerFailed
from tests.batch.lines import name_of, png, reading_with
from tests.batch.plugins import MARKER

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.usefixtures("plugins"),
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL"),
]

WAIT_S = 60.0


def workers_of(pool: LocalPool) -> list[int]:
    return [child._process.pid for child in pool._children]


def test_shards_are_read_side_by_side(model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "a \u4e2d.png").write_bytes(png("zed"))
    cells = [png("abc"), str(tmp_path / "a \u4e2d.png"), None, str(tmp_path / "gone \udcff.png")]
    with LocalPool(reading_with("stripes", model_dir), 2) as pool:
        assert pool.capacity == 4
        futures = [pool.submit([*cells, png(name_of(number))]) for number in range(6)]
        for number, future in enumerate(futures):
            *readings, last = future.result(WAIT_S)
            assert [reading.text for reading in readings] == ["abc", "zed", "", ""]
            assert [reading.error and reading.error[-20:] for reading in readings][2:] == [
                "is empty (null)",
                "h file or directory.",
            ]
            assert last.text == name_of(number)
        processes = workers_of(pool)
        assert 1 <= len(processes) <= 2
    assert not any(psutil.pid_exists(process) for process in processes)
    with pytest.raises(RuntimeError):
        pool.submit([])
    pool.close()


def test_a_worker_that_dies_is_replaced(model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARKER, str(tmp_path / "died"))
    with LocalPool(reading_with("dies-once", model_dir), 1) as pool:
        futures = [pool.submit([png(name_of(number))]) for number in range(4)]
        read = [reading.text for future in futures for reading in future.result(WAIT_S)]
        assert read == [name_of(number) for number in range(4)]
        assert len(workers_of(pool)) == 1
    assert (tmp_path / "died").exists()


def test_a_shard_that_kills_worker_after_worker_is_named(model_dir: Path) -> None:
    with LocalPool(reading_with("deadly", model_dir), 1) as pool:
        error = pool.submit([png("a")]).exception(WAIT_S)
    assert isinstance(error, WorkerFailed)
    assert "3 times in a row, ended with exit status 7" in str(error)


def test_a_worker_that_says_why_it_cannot_is_not_asked_again(model_dir: Path) -> None:
    with LocalPool(reading_with("strips", model_dir), 1) as pool:
        error = pool.submit([png("a")]).exception(WAIT_S)
    assert isinstance(error, WorkerFailed)
    assert "UnknownBackend: backend 'strips': no such backend" in str(error)
    assert "Did you mean 'stripes'" in str(error)
    assert "in a row" not in str(error)


def test_warnings_of_a_worker_are_said_here(model_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    with LocalPool(reading_with("warns", model_dir), 1) as pool:
        for _ in range(2):
            assert pool.submit([png("a")]).result(WAIT_S)[0].text == "a"
    (said,) = [record.getMessage() for record in caplog.records if record.name == "ocrhpi"]
    assert said == "worker ocrhpi-batch_0: the engine is old"


def test_closing_ends_workers_in_the_middle_of_a_shard(model_dir: Path) -> None:
    pool = LocalPool(reading_with("slow", model_dir, batch_size=1), 1)
    future = pool.submit([png("a")] * 100_000)
    waiting = pool.submit([png("a")])
    deadline = time.monotonic() + WAIT_S
    while not pool._children and time.monotonic() < deadline:
        time.sleep(0.01)
    processes = workers_of(pool)
    closing = threading.Thread(target=pool.close)
    closing.start()
    closing.join(WAIT_S)
    assert not closing.is_alive()
    assert isinstance(future.exception(WAIT_S), WorkerFailed)
    assert waiting.cancelled()
    assert not any(psutil.pid_exists(process) for process in processes)


def test_a_kill_from_outside_loses_nothing(model_dir: Path) -> None:
    with LocalPool(reading_with("slow", model_dir, batch_size=1), 1) as pool:
        future = pool.submit([png(name_of(number)) for number in range(100)])
        deadline = time.monotonic() + WAIT_S
        while not pool._children and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.5)
        os.kill(workers_of(pool)[0], signal.SIGKILL)
        assert [reading.text for reading in future.result(WAIT_S)] == [name_of(number) for number in range(100)]


@pytest.mark.parametrize(
    ("workers", "cpus", "cores", "share"),
    [
        (None, None, 16, (4, 4)),
        (None, None, 2, (1, 2)),
        (None, None, 7, (1, 4)),
        (None, 1, 16, (16, 1)),
        (3, None, 16, (3, 5)),
        (5, None, 2, (5, 1)),
        (2, 3, 4, (2, 3)),
        (None, 8, 4, (1, 8)),
    ],
)
def test_the_cores_are_shared_out(workers: int | None, cpus: int | None, cores: int, share: tuple[int, int]) -> None:
    assert share_of_a_worker(workers, cpus, cores) == share
