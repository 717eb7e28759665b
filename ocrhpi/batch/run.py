"""The walk of a batch: shards out to the workers, results into the folder, until nothing is missing."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, wait
from itertools import islice
from typing import TYPE_CHECKING

from ocrhpi.batch.reading import file_content

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from ocrhpi.batch.pool import Pool
    from ocrhpi.batch.reading import Cell, Reading
    from ocrhpi.batch.shards import Task
    from ocrhpi.batch.sources import Source
    from ocrhpi.batch.store import Store


def run_batch(source: Source, store: Store, pool: Pool, done: Callable[[int, int], object] = lambda *_: None) -> None:
    """Read and write what is missing. May be stopped at any moment, and called again.

    Holds the content of two shards a worker at most.

    Args:
        source: What is read.
        store: Where results are kept; the plan is extended already.
        pool: What reads.
        done: Is told after each shard how many rows were written, and how many of them could not be read.

    Raises:
        WorkerFailed: Workers failed at a shard; what the others had done is kept.
        InputError: A file that holds many rows cannot be read.
    """
    tasks = source.tasks(store.missing())
    waiting: dict[Future[list[Reading]], Task] = {}
    while True:
        for task in islice(tasks, pool.capacity - len(waiting)):
            waiting[pool.submit(_for(pool, task.cells))] = task
        if not waiting:
            return
        for future in wait(waiting, return_when=FIRST_COMPLETED).done:
            task, readings = waiting.pop(future), future.result()
            store.write(task, readings)
            done(len(readings), sum(reading.error is not None for reading in readings))


def _for(pool: Pool, cells: Sequence[Cell]) -> Sequence[Cell]:
    return cells if pool.reads_files else [file_content(cell) for cell in cells]
