"""Parquet files with a column of encoded images. Every other column is kept.

Rows are streamed in their order, once. Of a file no more is held than the rows that are asked for together, however
large its row groups are.
"""

from __future__ import annotations

from collections import deque
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ocrhpi.batch.formats import READ_COLUMNS, import_pyarrow
from ocrhpi.batch.shards import ParquetShard, Task, rows_of_a_part
from ocrhpi.batch.sources.base import Source
from ocrhpi.batch.sources.images import files_below
from ocrhpi.errors import OptionError, UnreadableInput, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ocrhpi.batch.shards import Shard

_STREAMED_ROWS = 256


def opened_parquet(path: Path) -> Any:  # noqa: ANN401 - pyarrow.parquet.ParquetFile
    """Open a file; a context manager.

    Raises:
        OSError, ValueError: It cannot be read, or is no Parquet; pyarrow's own errors are of these.
        MissingExtra: pyarrow is not installed.
    """
    import_pyarrow()
    from pyarrow.parquet import ParquetFile  # noqa: PLC0415 - behind an extra

    # Read in pieces of a mebibyte, in place of whole column chunks, which may be gigabytes.
    return ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)


def slices(opened: Any, wanted: Sequence[tuple[int, int]]) -> Iterator[Any]:  # noqa: ANN401 - pyarrow
    """Yield a table for each range of rows.

    Args:
        opened: From `opened_parquet`.
        wanted: First row, and the one after the last; ascending, without overlap. Row groups without any are skipped.
    """
    pa = import_pyarrow()
    left = deque(wanted)
    pieces: list[Any] = []
    for position, batch in _batches(opened, left):
        stop = position + batch.num_rows
        while left and left[0][0] < stop:
            first, last = left[0]
            begin = max(first, position)
            pieces.append(batch.slice(begin - position, min(last, stop) - begin))
            if last > stop:
                break
            left.popleft()
            yield pa.Table.from_batches(pieces)
            pieces = []


def holds_bytes(kind: Any) -> bool:  # noqa: ANN401 - pyarrow.DataType
    """Tell whether a column of this type may hold encoded images: binary, or structs whose ``bytes`` are."""
    types = import_pyarrow().types
    if types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and holds_bytes(kind.field(place).type)
    is_view = getattr(types, "is_binary_view", None)  # not in all versions
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or (is_view and is_view(kind)))


def _batches(opened: Any, left: deque[tuple[int, int]]) -> Iterator[tuple[int, Any]]:  # noqa: ANN401
    """Yield the rows of the row groups that hold some of those that are left, each with the number of its first row."""
    position = 0
    for group in range(opened.metadata.num_row_groups):
        stop = position + opened.metadata.row_group(group).num_rows
        if left and left[0][0] < stop:
            for batch in opened.iter_batches(_STREAMED_ROWS, row_groups=[group]):
                yield position, batch
                position += batch.num_rows
                if not left:
                    return
        position = stop


PARQUET_SUFFIXES = (".parquet", ".pq")

_MAGIC = b"PAR1"
_ADDED = ("rec_id", *READ_COLUMNS)
_SHARD_BYTES = 64 << 20
"""Content of a shard, about: several are held at once."""


class _Facts(NamedTuple):
    """What is known of a file: its length, its rows, and how many bytes these are without compression."""

    size: int
    rows: int
    content: int

    def rows_in(self, held: int) -> int:
        """Return how many rows are about so many bytes, at least 1."""
        return max(1, held * self.rows // max(1, self.content))


class ParquetSource(Source):
    """One Parquet file, or all below a folder, sorted by path.

    A row's identity is the path of its file relative to the folder, ``#`` and the number of the row in it, from 0.

    Args:
        path: The file or folder.
        image_column: Name of the column: encoded images, or Hugging Face's structs of them.

    Raises:
        OptionError: A file lacks the column, or it is of another type, or the results would have a column twice.
        UnreadableInput: A file is no Parquet, or damaged.
        MissingExtra: pyarrow is not installed.
    """

    kind: ClassVar[str] = "parquet"
    is_table: bool = True

    def __init__(self, path: Path, image_column: str) -> None:
        self.path, self._column = path, image_column
        is_folder = path.is_dir()
        self._root = path if is_folder else path.parent
        names = files_below(path, PARQUET_SUFFIXES) if is_folder else [path.name]
        self._files = {name: self._checked(name) for name in names}

    def new_shards(self, known: Sequence[Shard], rows: int | None, workers: int) -> list[Shard]:  # noqa: D102
        planned = {shard.file: shard.size for shard in known if isinstance(shard, ParquetShard)}
        for file, size in planned.items():
            self._check_unchanged(file, size)
        new = {file: facts for file, facts in self._files.items() if file not in planned}
        usual = rows_of_a_part(sum(facts.rows for facts in new.values()), workers)
        pieces = [
            (file, facts.size, first, min(most, facts.rows - first))
            for file, facts in new.items()
            for most in [rows or min(usual, facts.rows_in(_SHARD_BYTES))]
            for first in range(0, facts.rows, most)
        ]
        return [
            ParquetShard(number=number, file=file, size=size, first=first, rows=count)
            for number, (file, size, first, count) in enumerate(pieces, start=len(known))
        ]

    def tasks(self, shards: Sequence[Shard]) -> Iterator[Task]:  # noqa: D102 - the contract's
        wanted = [shard for shard in shards if isinstance(shard, ParquetShard)]
        for file, of_file in groupby(wanted, key=lambda shard: shard.file):
            yield from self._tasks_of(file, list(of_file))

    def _tasks_of(self, file: str, shards: Sequence[ParquetShard]) -> Iterator[Task]:
        pa = import_pyarrow()
        path = self._root / file
        try:
            with opened_parquet(path) as opened:
                tables = slices(opened, [(shard.first, shard.first + shard.rows) for shard in shards])
                for shard, table in zip(shards, tables, strict=True):
                    cells = [_content(cell) for cell in table.column(self._column).to_pylist()]
                    names = [f"{file}#{row}" for row in range(shard.first, shard.first + shard.rows)]
                    kept = table.add_column(0, "rec_id", pa.array(names, pa.string())).drop_columns([self._column])
                    yield Task(shard, cells, kept.replace_schema_metadata(None))  # it tells of the whole table
        except (OSError, ValueError, pa.ArrowException) as error:
            raise _unreadable(path, error) from error

    def _checked(self, file: str) -> _Facts:
        """Return what is known of a file, after a check of its columns."""
        pa = import_pyarrow()
        path = self._root / file
        try:
            with opened_parquet(path) as opened:
                schema, metadata = opened.schema_arrow, opened.metadata
                groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
                facts = _Facts(path.stat().st_size, metadata.num_rows, sum(group.total_byte_size for group in groups))
        except (OSError, ValueError, pa.ArrowException) as error:
            raise _unreadable(path, error) from error
        self._check_columns(path, schema)
        return facts

    def _check_columns(self, path: Path, schema: Any) -> None:  # noqa: ANN401 - pyarrow.Schema
        name, names = self._column, schema.names
        if name not in names:
            problem = (
                f"received {name!r}; the columns of {path} are {', '.join(map(repr, names))}.{nearest(name, names)}"
            )
            raise OptionError("image_column", problem)
        if not holds_bytes(schema.field(name).type):
            problem = f"the column {name!r} of {path} is of the type {schema.field(name).type}"
            raise OptionError("image_column", f"{problem}; expected encoded images: binary, or a struct with 'bytes'")
        for added in _ADDED:
            if added in names:
                problem = f"{path} has a column {added!r}, which the results have as well; rename it before"
                raise OptionError("input", problem)

    def _check_unchanged(self, file: str, size: int) -> None:
        facts = self._files.get(file)
        if facts is not None and facts.size != size:  # one that is gone matters only if it is still to be read
            problem = f"{self._root / file} has {facts.size} bytes, and had {size} when this batch was planned"
            raise OptionError("input", f"{problem}; its rows may be others, so give another output folder")


def is_parquet(path: Path) -> bool:
    """Tell whether a file begins as Parquet does; False if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _content(cell: Any) -> bytes | None:  # noqa: ANN401 - bytes, or a struct of them
    content: bytes | None = cell.get("bytes") if isinstance(cell, dict) else cell
    return content


def _unreadable(path: Path, error: Exception) -> UnreadableInput:
    return UnreadableInput(str(path), f"cannot be read as Parquet ({' '.join(str(error).split()).rstrip('.')})")
