"""Rows of a Parquet file, streamed in their order, once.

Of a file no more is held than the rows that are asked for together, however large its row groups are.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from ocrhpi.batch.extras import import_pyarrow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

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
