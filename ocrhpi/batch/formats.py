"""Results as files: JSON lines, or Parquet."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any, BinaryIO

from ocrhpi.batch.extras import import_pyarrow
from ocrhpi.batch.tables import READ_COLUMNS, with_readings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ocrhpi.batch.plan import Format
    from ocrhpi.batch.reading import Reading
    from ocrhpi.batch.shards import Columns


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
