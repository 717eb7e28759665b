"""Step 3: what reads shards, as a contract, and processes of this machine that keep it.

One that dies is replaced, and nothing is lost. The actors of a cluster are `ocrhpi.integrations.ray_cluster`.
"""

from __future__ import annotations

import base64
import sys
import threading
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from ocrhpi.batch.reading import Reading
from ocrhpi.batch.worker import relay
from ocrhpi.closing import Closing
from ocrhpi.errors import WorkerFailed
from ocrhpi.files import TemporaryFolder
from ocrhpi.forks import RenewedLock, RenewedThreads, renew_in_children
from ocrhpi.machine import usable_cores
from ocrhpi.workers.process import WorkerProcess, WorkerProcessFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from ocrhpi.batch.reading import Cell
    from ocrhpi.config.reading_options import ReadingOptions

USUAL_CPUS = 4
"""CPUs of a worker where nobody says: an engine gains little from more threads at one batch of lines."""


class Pool(Closing):
    """Workers. A context manager: leaving ends them.

    Attributes:
        reads_files: Whether the workers see the files of the one who asks; else they are given contents.
        workers: How many there are.
    """

    reads_files: bool
    workers: int

    @property
    def capacity(self) -> int:
        """How many shards to hand over at once: each worker has one, and one that waits."""
        return 2 * self.workers

    @abstractmethod
    def submit(self, cells: Sequence[Cell]) -> Future[list[Reading]]:
        """Read one shard.

        The future's error is `WorkerFailed` where workers failed or died at it, several of them if they died.
        """

    @abstractmethod
    def close(self) -> None:
        """End the workers, also while they read. Closing twice is fine."""


_TRIES = 3
_LONGEST_S = 86_400.0  # of one shard: no model is so slow, and none may hang for ever
# The parent's module search path, so that the worker finds the same package and the same plug-ins.
_PROGRAM = "import sys; sys.path[:] = {path!r}; from ocrhpi.batch.worker import main; main()"


def share_of_a_worker(workers: int | None, cpus: int | None, cores: int | None = None) -> tuple[int, int]:
    """Return how many workers there are, and how many threads each has.

    Args:
        workers: How many were asked for; None: as many as there is room for.
        cpus: Threads of each; None: an equal share of the cores, at most 4 where ``workers`` is None, too.
        cores: Of this machine; None: the usable ones.
    """
    cores = cores or usable_cores()
    threads = cpus or (min(USUAL_CPUS, cores) if workers is None else max(1, cores // workers))
    return workers or max(1, cores // threads), threads


class LocalPool(Pool):
    """Processes of this machine, which end with this one.

    Args:
        options: What reads; ``threads`` are those of one worker.
        workers: How many.
    """

    reads_files = True

    def __init__(self, options: ReadingOptions, workers: int) -> None:
        self.workers = workers
        self._options = options
        self._logs = TemporaryFolder()
        # One thread a worker, which starts it: the system ends a worker with the thread that started it.
        self._threads = RenewedThreads(workers, "ocrhpi-batch")
        self._own = threading.local()
        self._lock = RenewedLock()
        self._children: list[WorkerProcess] = []
        self._closed = False
        renew_in_children(self)

    def submit(self, cells: Sequence[Cell]) -> Future[list[Reading]]:  # noqa: D102 - the contract's
        return self._threads.submit(self._read, cells)

    def close(self) -> None:  # noqa: D102 - the contract's
        with self._lock:
            self._closed = True
        for child in self._children:
            child.kill()
        self._threads.shutdown(cancel_futures=True)
        for child in self._children:
            child.close()
        self._logs.remove()

    def renew_after_fork(self) -> None:
        """Count as closed in a forked child: the workers are the parent's."""
        self._closed = True
        self._children = []

    def _read(self, cells: Sequence[Cell]) -> list[Reading]:
        asked = {"options": self._options.plain(), "cells": [_as_json(cell) for cell in cells]}
        for left in reversed(range(_TRIES)):
            child = self._child()
            try:
                readings, warnings = child.ask("read", _LONGEST_S, **asked)
            except WorkerProcessFailed as error:
                if child.alive or self._closed or not left:  # alive: it said why it cannot, and would again
                    tries = "" if child.alive else f"{_TRIES - left} times in a row, "
                    raise WorkerFailed(child.log.stem, f"{tries}{error.reason}") from error
            else:
                relay(child.log.stem, warnings)
                return [Reading(*reading) for reading in readings]
        raise AssertionError  # the last try returns or raises

    def _child(self) -> WorkerProcess:
        """Return this thread's worker; start one if it has none, or if it died."""
        child: WorkerProcess | None = getattr(self._own, "child", None)
        if child is not None and child.alive:
            return child
        with self._lock:
            if self._closed:
                raise WorkerFailed("batch", "the pool is closed")
            if child is not None:
                self._children.remove(child)
                child.close()
            log = self._logs.path / f"{threading.current_thread().name}.log"
            command = [sys.executable, "-c", _PROGRAM.format(path=sys.path)]
            child = self._own.child = WorkerProcess(command, log, stop_between=False)
            self._children.append(child)
        return child


def _as_json(cell: Cell) -> Any:  # noqa: ANN401 - JSON
    """Return a path, URL or null as it is, and bytes as base64 in an object."""
    return {"base64": base64.b64encode(cell).decode("ascii")} if isinstance(cell, bytes) else cell
