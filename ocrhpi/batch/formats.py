"""Columns of the tables that data engines hand out, and results as files: JSON lines, or Parquet.

Tables are those of pandas or Arrow, or mappings of numpy arrays. Neither pandas nor Arrow is imported for them unless
the caller has: a table of theirs cannot be there before.
"""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

from ocrhpi.errors import MissingExtra, OptionError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ocrhpi.batch.reading import Cell, Reading
    from ocrhpi.batch.shards import Columns


def import_pyarrow() -> Any:  # noqa: ANN401 - the module, which has no types
    """Return the module.

    Raises:
        MissingExtra: It is not installed, or cannot be imported.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - behind an extra
    except ImportError as error:
        raise MissingExtra("batch", f"Parquet needs pyarrow ({error})") from error
    return pa


Format = Literal["parquet", "jsonl"]

READ_COLUMNS = ("rec_text", "rec_score", "error")
"""Columns that reading adds: text, float64, and text or null."""


def cells_of(table: Any, column: str) -> Sequence[Cell]:  # noqa: ANN401 - see the module
    """Return the cells of a column of a table, after a check that there is room for what will be read.

    Raises:
        OptionError: There is no such column, or there are columns already of the names that reading adds; or the object
            is no table.
    """
    names = _column_names(table)
    if column not in names:
        problem = f"received {column!r}; the columns are {', '.join(map(repr, names))}.{nearest(column, names)}"
        raise OptionError("image_column", problem)
    for name in READ_COLUMNS:
        if name in names:
            raise OptionError("image_column", f"the table has a column {name!r} already; drop or rename it before")
    if _is_arrow(table):
        return list(table.column(column).to_pylist())
    return list(table[column])


def with_readings(table: Any, readings: Sequence[Reading]) -> Any:  # noqa: ANN401
    """Return a table of the same kind with all its columns and those of `READ_COLUMNS`, one reading a row."""
    texts = [reading.text for reading in readings]
    scores = [reading.score for reading in readings]
    errors = [reading.error for reading in readings]
    if _is_arrow(table):
        return _with_arrow_columns(table, texts, scores, errors)
    columns = (_objects(texts), np.array(scores, np.float64), _objects(errors))
    added = dict(zip(READ_COLUMNS, columns, strict=True))
    return {**table, **added} if isinstance(table, Mapping) else _with_pandas_columns(table, added)


def _with_pandas_columns(table: Any, added: Mapping[str, Any]) -> Any:  # noqa: ANN401
    series = sys.modules["pandas"].Series  # told the type, since pandas 3 makes strings of objects, and NaN of None
    return table.assign(**{name: series(column, table.index, column.dtype) for name, column in added.items()})


def _with_arrow_columns(table: Any, *values: Sequence[object]) -> Any:  # noqa: ANN401
    import pyarrow as pa  # noqa: PLC0415 - see the module

    types = (pa.string(), pa.float64(), pa.string())
    for name, kind, column in zip(READ_COLUMNS, types, values, strict=True):
        table = table.append_column(pa.field(name, kind), pa.array(column, kind))
    return table


def _column_names(table: Any) -> list[str]:  # noqa: ANN401
    if _is_arrow(table):
        return list(table.column_names)
    pandas = sys.modules.get("pandas")
    if isinstance(table, Mapping) or (pandas is not None and isinstance(table, pandas.DataFrame)):
        return [str(name) for name in table]
    kind = type(table)
    problem = (
        f"received {kind.__module__}.{kind.__qualname__}; expected a pandas or Arrow table, or a mapping of arrays"
    )
    raise OptionError("table", problem)


def _is_arrow(table: object) -> bool:
    arrow = sys.modules.get("pyarrow")
    return arrow is not None and isinstance(table, arrow.Table | arrow.RecordBatch)


def _objects(values: Sequence[object]) -> Any:  # noqa: ANN401 - an array of objects
    # Not np.array(values): texts would get a fixed length, and lose trailing NULs.
    column = np.empty(len(values), object)
    column[:] = values
    return column


def check_format(output: Format) -> None:
    """See that the format can be written.

    Raises:
        MissingExtra: Parquet, but pyarrow is not installed.
    """
    if output == "parquet":
        import_pyarrow()


def write_results(output: Format, file: BinaryIO, columns: Columns, readings: Sequence[Reading]) -> None:
    """Write one row a reading: the columns of its row, and what was read.

    Args:
        output: The format.
        file: Where to.
        columns: See `ocrhpi.batch.shards.Columns`.
        readings: As many as the columns have rows.
    """
    if output == "parquet":
        _write_parquet(file, columns, readings)
    else:
        _write_json_lines(file, columns, readings)


def _write_parquet(file: BinaryIO, columns: Columns, readings: Sequence[Reading]) -> None:
    pa = import_pyarrow()
    from pyarrow.parquet import write_table  # noqa: PLC0415 - behind an extra

    if isinstance(columns, Mapping):
        columns = pa.table({name: pa.array(map(_valid, values), pa.string()) for name, values in columns.items()})
    write_table(with_readings(columns, readings), file)


def _write_json_lines(file: BinaryIO, columns: Columns, readings: Sequence[Reading]) -> None:
    for row, reading in zip(_rows(columns), readings, strict=True):
        fields = {**row, **dict(zip(READ_COLUMNS, reading, strict=True))}
        text = json.dumps(_as_json(fields), ensure_ascii=False, allow_nan=False)
        # Paths that are no valid text hold lone surrogates, which JSON writes as escapes.
        file.write(text.encode("utf-8", "backslashreplace") + b"\n")


def _rows(columns: Columns) -> Iterable[dict[str, Any]]:
    if not isinstance(columns, Mapping):
        rows: list[dict[str, Any]] = columns.to_pylist()
        return rows
    return (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


def _as_json(value: Any) -> Any:  # noqa: ANN401 - whatever a column of Parquet holds
    """Return a value that JSON takes: bytes as base64, times in ISO 8601, no number as null."""
    if isinstance(value, Mapping):
        return {str(name): _as_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _valid(text: str | None) -> str | None:
    """Return text that UTF-8 can hold."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()
