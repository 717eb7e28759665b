"""The contract of a source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ocrhpi.batch.shards import Shard, Task


class Source(ABC):
    """What is to be read.

    Attributes:
        kind: Name of the kind, for the plan and for messages.
        path: Where it is, absolute.
        is_table: Whether its rows have columns of their own, which only an Arrow table holds.
    """

    kind: ClassVar[str]
    path: Path
    is_table: bool = False

    @abstractmethod
    def new_shards(self, known: Sequence[Shard], rows: int | None, workers: int) -> list[Shard]:
        """Plan what no shard of ``known`` has; numbers go on where those of ``known`` end.

        Args:
            known: What was planned before.
            rows: Rows of a shard; None chooses.
            workers: How many will read.

        Raises:
            OptionError: What was planned before is no longer what is there.
        """

    @abstractmethod
    def tasks(self, shards: Sequence[Shard]) -> Iterator[Task]:
        """Yield these shards with their content, in order and one at a time.

        Raises:
            InputError: A file that holds many rows is gone or damaged. A single image that cannot be read is no error
                here, but a row.
        """
