"""Shards: rows of the input that are read and written together, as the plan of a batch keeps them.

A shard never changes once it is planned, and neither do the identities of its rows: so a file of results that is there
is right, whatever was added to the input since.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ocrhpi.batch.reading import Cell

_MIN_ROWS, _MAX_ROWS = 64, 1000
_SHARDS_OF_A_WORKER = 4

Columns: TypeAlias = Any
"""What the results say of their rows besides what was read: a mapping of names to lists, or an Arrow table."""

Row: TypeAlias = tuple[str, str, str | None]
"""One image: its identity, its path as the input spells it, and what a label file says is written there."""


@dataclass(frozen=True, slots=True)
class ImageShard:
    """Some images.

    Attributes:
        number: Of the shard, from 0.
        images: See `Row`.
    """

    number: int
    images: tuple[Row, ...]

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.images)

    def plain(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {"number": self.number, "images": self.images}


@dataclass(frozen=True, slots=True)
class ParquetShard:
    """Rows of a Parquet file.

    Attributes:
        number: Of the shard, from 0.
        file: The file, relative to the input.
        size: Length of the file in bytes, by which one that changed is noticed.
        first: Number of the first row in the file, from 0.
        rows: How many.
    """

    number: int
    file: str
    size: int
    first: int
    rows: int

    def plain(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return asdict(self)


Shard: TypeAlias = ImageShard | ParquetShard


class Task(NamedTuple):
    """A shard with its content.

    Attributes:
        shard: The shard.
        cells: Its images, one a row.
        columns: What the results say of its rows.
    """

    shard: Shard
    cells: Sequence[Cell]
    columns: Columns


def shard_from(plain: dict[str, Any]) -> Shard:
    """Return the shard that ``plain()`` gave.

    Raises:
        ValueError, TypeError, KeyError: It is none.
    """
    if "images" not in plain:
        return ParquetShard(**plain)
    images = ((identity, path, label) for identity, path, label in plain["images"])
    return ImageShard(plain["number"], tuple(images))


def rows_of_a_part(rows: int, workers: int) -> int:
    """Return how many rows make a shard: few enough for all workers to have some, many enough for full batches."""
    return min(_MAX_ROWS, max(_MIN_ROWS, -(-rows // (_SHARDS_OF_A_WORKER * workers))))


def chunks(items: Iterable[Row], size: int) -> Iterator[tuple[Row, ...]]:
    """Cut a stream into pieces of ``size``; the last may be shorter."""
    left = iter(items)
    while chunk := tuple(islice(left, size)):
        yield chunk
