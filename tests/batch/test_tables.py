from __future__ import annotations

import numpy as np
import pytest

from ocrhpi.batch.formats import cells_of, with_readings
from ocrhpi.batch.reading import Reading
from ocrhpi.errors import OptionError
from tests.batch.lines import needs_arrow, needs_pandas

READINGS = [Reading("one\0", 0.5), Reading("", 0.0, "is damaged")]


def test_a_mapping_of_arrays() -> None:
    table = {"image": np.array([b"a", b"bb"], object), "key": np.array([7, 8])}
    assert cells_of(table, "image") == [b"a", b"bb"]
    read = with_readings(table, READINGS)
    assert list(read) == ["image", "key", "rec_text", "rec_score", "error"]
    assert read["rec_text"].tolist() == ["one\0", ""]
    assert read["rec_score"].dtype == np.float64
    assert read["error"].tolist() == [None, "is damaged"]
    assert "rec_text" not in table


def test_stacked_images_are_a_cell_each() -> None:
    stack = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    cells = cells_of({"image": stack}, "image")
    assert [np.asarray(cell).shape for cell in cells] == [(4, 5, 3)] * 2


@needs_pandas
def test_pandas_keeps_its_index() -> None:
    import pandas as pd

    table = pd.DataFrame({"image": [b"a", None], "key": [7, 8]}, index=["x", "y"])
    assert cells_of(table, "image") == [b"a", None]
    read = with_readings(table, READINGS)
    assert read.index.tolist() == ["x", "y"]
    assert read["key"].tolist() == [7, 8]
    assert read["error"].tolist() == [None, "is damaged"]
    empty = with_readings(table.iloc[:0], [])
    assert empty.dtypes.to_dict() == read.dtypes.to_dict()
    assert len(empty) == 0


@needs_arrow
def test_arrow_keeps_every_type() -> None:
    import pyarrow as pa

    keys = pa.array([7, None], pa.int64())
    table = pa.table({"image": pa.array([b"a", None], pa.binary()), "key": keys})
    assert cells_of(table, "image") == [b"a", None]
    for one in (table, table.to_batches()[0]):
        read = with_readings(one, READINGS)
        assert type(read) is type(one)
        assert read.column("key").to_pylist() == [7, None]
        assert read.column("error").to_pylist() == [None, "is damaged"]
        assert [str(field.type) for field in read.schema] == ["binary", "int64", "string", "double", "string"]
    assert with_readings(table.slice(0, 0), []).schema == with_readings(table, READINGS).schema


def test_columns_that_do_not_fit_are_refused() -> None:
    table = {"images": np.array([b"a"], object), "text": np.array(["a"])}
    with pytest.raises(OptionError, match=r"received 'image'; the columns are 'images', 'text'. Did you mean 'images'"):
        cells_of(table, "image")
    with pytest.raises(OptionError, match="has a column 'error' already"):
        cells_of({**table, "error": np.array([""])}, "images")
    with pytest.raises(OptionError, match=r"received builtins\.list; expected a pandas"):
        cells_of([b"a"], "image")
