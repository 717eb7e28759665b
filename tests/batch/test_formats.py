from __future__ import annotations

import datetime as dt
import decimal
import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi.batch import formats
from ocrhpi.batch.formats import check_format, write_results
from ocrhpi.batch.reading import Reading
from ocrhpi.errors import MissingExtra
from tests.batch.lines import needs_arrow

if TYPE_CHECKING:
    from ocrhpi.batch.formats import Format

READINGS = [Reading("中\n", 0.25), Reading("", 0.0, "gone")]
COLUMNS = {"rec_id": ["a.png", "b \udcff.png"], "label": ["x", None]}


def written(output: Format, columns: Any) -> bytes:
    file = io.BytesIO()
    write_results(output, file, columns, READINGS)
    return file.getvalue()


def test_json_lines_hold_any_path() -> None:
    rows = [json.loads(line) for line in written("jsonl", COLUMNS).splitlines()]
    assert rows == [
        {"rec_id": "a.png", "label": "x", "rec_text": "中\n", "rec_score": 0.25, "error": None},
        {"rec_id": "b \udcff.png", "label": None, "rec_text": "", "rec_score": 0.0, "error": "gone"},
    ]
    assert "中".encode() in written("jsonl", COLUMNS)


@needs_arrow
def test_parquet_has_the_same_types_in_every_part() -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(written("parquet", COLUMNS)))
    assert table.column("rec_id").to_pylist() == ["a.png", "b \\udcff.png"]
    assert table.column("error").to_pylist() == [None, "gone"]
    blank = {"rec_id": ["a", "b"], "label": [None, None]}
    assert pq.read_table(io.BytesIO(written("parquet", blank))).schema == table.schema


@needs_arrow
def test_columns_of_a_table_are_kept_as_they_are() -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "day": [dt.date(2026, 1, 2), None],
            "price": [decimal.Decimal("1.50"), None],
            "box": [[1.5, float("nan")], None],
            "raw": [b"\xff", None],
            "facts": [{"a": True}, None],
        }
    )
    kept = pq.read_table(io.BytesIO(written("parquet", table)))
    assert kept.select(table.column_names).schema == table.schema
    row = json.loads(written("jsonl", table).splitlines()[0])
    assert row == {
        "day": "2026-01-02",
        "price": "1.50",
        "box": [1.5, None],
        "raw": "/w==",
        "facts": {"a": True},
        "rec_text": "中\n",
        "rec_score": 0.25,
        "error": None,
    }


def test_parquet_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    check_format("jsonl")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pip install 'ocrhpi\[batch\]'"):
        formats.import_pyarrow()
    with pytest.raises(MissingExtra):
        check_format("parquet")
