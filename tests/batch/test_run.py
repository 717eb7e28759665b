"""The walk with a pool that runs in this process: bounded, stoppable, and never twice."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

import pytest

from ocrhpi.batch.plan import job_of
from ocrhpi.batch.pool import Pool
from ocrhpi.batch.reading import Reading
from ocrhpi.batch.run import run_batch
from ocrhpi.batch.sources import find_source
from ocrhpi.batch.store import Store, open_store
from ocrhpi.config.reading_options import reading_options
from ocrhpi.errors import WorkerFailed
from tests.batch.lines import json_rows, png, write_lines
from tests.reading.fake_reader import MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ocrhpi.batch.reading import Cell
    from ocrhpi.batch.sources import Source

ROWS = 10


class InProcessPool(Pool):
    """Answers at once; reads of each cell, a path, the number in it."""

    def __init__(self, workers: int = 2, *, reads_files: bool = True, fails_at: int | None = None) -> None:
        self.workers, self.reads_files = workers, reads_files
        self.given: list[Sequence[Cell]] = []
        self._fails_at = fails_at

    def submit(self, cells: Sequence[Cell]) -> Future[list[Reading]]:
        future: Future[list[Reading]] = Future()
        self.given.append(cells)
        if len(self.given) == self._fails_at:
            future.set_exception(WorkerFailed("one", "died"))
        else:
            future.set_result([Reading(str(cell)[-10:-4], 1.0) for cell in cells])
        return future

    def close(self) -> None:
        """There is nothing to end."""


@pytest.fixture
def source(tmp_path: Path) -> Source:
    write_lines(tmp_path / "input", range(95))
    return find_source(tmp_path / "input")


@pytest.fixture
def store(source: Source, tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "out", job_of(source, MODEL, reading_options("x"), "jsonl")) as store:
        store.extend(source, ROWS, 2)
        yield store


def check(store: Store) -> None:
    rows = json_rows(store.folder)
    assert sorted(row["rec_id"][-10:-4] for row in rows) == [f"{number:06}" for number in range(95)]
    assert all(row["rec_text"] == row["rec_id"][-10:-4] for row in rows)


def test_all_rows_are_written_once_and_a_few_shards_held(source: Source, store: Store) -> None:
    pool = InProcessPool()
    written: list[int] = []
    held: list[int] = []

    def done(rows: int, _: int) -> None:
        held.append(len(pool.given) - len(written))
        written.append(rows)

    run_batch(source, store, pool, done)
    check(store)
    assert (sum(written), len(written), max(held)) == (95, 10, pool.capacity)
    run_batch(source, store, pool)
    assert len(pool.given) == 10


def test_a_worker_that_fails_ends_it_and_the_next_run_does_the_rest(source: Source, store: Store) -> None:
    with pytest.raises(WorkerFailed, match="died"):
        run_batch(source, store, InProcessPool(fails_at=8))
    left = len(store.missing())
    assert 0 < left < 10
    pool = InProcessPool()
    run_batch(source, store, pool)
    assert len(pool.given) == left
    check(store)


def test_it_may_be_stopped_at_any_moment(source: Source, store: Store) -> None:
    def stop(_: int, __: int) -> None:
        raise KeyboardInterrupt

    for left in range(9, 5, -1):
        with pytest.raises(KeyboardInterrupt):
            run_batch(source, store, InProcessPool(), stop)
        assert len(store.missing()) == left
    run_batch(source, store, InProcessPool())
    check(store)


def test_workers_elsewhere_are_given_contents(source: Source, store: Store, tmp_path: Path) -> None:
    first = source.path / "0" / "line 000000.png"
    first.unlink()
    pool = InProcessPool(reads_files=False)
    run_batch(source, store, pool)
    gone, second, *_ = pool.given[0]
    assert str(gone) == f"{first}: no such file or directory."
    assert second == png("aaaaad")
    assert len(json_rows(tmp_path / "out")) == 95
