"""Columns of the tables that data engines hand out: pandas, Arrow, or a mapping of numpy arrays.

Neither pandas nor Arrow is imported here unless the caller has: a table of theirs cannot be there before.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ocrhpi.errors import OptionError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.batch.cells import Cell
    from ocrhpi.batch.reading import Reading

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
