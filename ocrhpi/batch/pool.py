"""Step 3, the contract of what reads shards: processes (`local_pool`), or actors (`ocrhpi.integrations.ray_pool`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from types import TracebackType

    from typing_extensions import Self

    from ocrhpi.batch.reading import Cell, Reading

USUAL_CPUS = 4
"""CPUs of a worker where nobody says: an engine gains little from more threads at one batch of lines."""


class Pool(ABC):
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
