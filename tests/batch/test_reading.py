from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ocrhpi.batch.reading import Reading, read_cells
from ocrhpi.errors import BackendError
from ocrhpi.predictor import Predictor
from ocrhpi.reading import stream
from tests.reading.fake_reader import FakeReader

if TYPE_CHECKING:
    from collections.abc import Iterator


def arrays(*widths: int) -> list[object]:
    return [np.zeros((48, width, 3), np.uint8) for width in widths]


def test_readings_come_in_the_order_of_the_cells() -> None:
    reader = FakeReader("one")
    cells = [*arrays(30, 20), None, *arrays(10)]
    assert read_cells(Predictor(reader), cells, 4) == [
        Reading("one:30", 1.0),
        Reading("one:20", 1.0),
        Reading("", 0.0, "is empty (null)"),
        Reading("one:10", 1.0),
    ]
    assert reader.calls == [(3, 4, False)]  # all lines at once, so that those of like width meet


def test_nothing_readable_is_nothing_to_run() -> None:
    reader = FakeReader("one")
    assert [reading.error for reading in read_cells(Predictor(reader), [None, b""])] == [
        "is empty (null)",
        "is empty (0 bytes)",
    ]
    assert read_cells(Predictor(reader), []) == []
    assert reader.calls == []


def test_pixels_are_held_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "WINDOW_BYTES", 2 * 48 * 100 * 3)
    reader = FakeReader("one")
    texts = [reading.text for reading in read_cells(Predictor(reader), arrays(100, 101, 300, 10, 20))]
    assert texts == ["one:100", "one:101", "one:300", "one:10", "one:20"]
    assert [lines for lines, *_ in reader.calls] == [2, 1, 2]


def test_an_engine_that_fails_is_no_row() -> None:
    reader = FakeReader("one")
    reader.failure = BackendError("one", "out of memory")
    with pytest.raises(BackendError, match="out of memory"):
        read_cells(Predictor(reader), arrays(10))


def test_a_line_that_the_engine_fails_at_is_a_row_with_its_error() -> None:
    reader = FakeReader("one")
    reader.widest = 500
    assert read_cells(Predictor(reader), arrays(10, 900, 20)) == [
        Reading("one:10", 1.0),
        Reading("", 0.0, "backend 'one': out of memory."),
        Reading("one:20", 1.0),
    ]


def test_cells_that_fail_pass_through() -> None:
    def cells() -> Iterator[object]:
        yield from arrays(10)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        read_cells(Predictor(FakeReader("one")), cells())
