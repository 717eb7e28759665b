"""Two readers behind one: each gets its widths, and results come in input order."""

from __future__ import annotations

import pytest

from ocrhpi.errors import BackendError
from ocrhpi.predictor import Predictor
from ocrhpi.reading.base import Met, Shapes
from ocrhpi.reading.split import SplitReader
from tests.reading.fake_reader import FakeReader, line


@pytest.fixture
def narrow() -> FakeReader:
    return FakeReader("narrow", batch_size=8)


@pytest.fixture
def wide() -> FakeReader:
    return FakeReader("wide", batch_size=2)


def test_each_reads_its_widths_in_input_order(narrow: FakeReader, wide: FakeReader) -> None:
    with SplitReader(narrow, wide, up_to=640) as reader:
        read = reader.read([line(width) for width in (900, 100, 640, 641, 320)])
        assert [text.text for text in read] == ["wide:900", "narrow:100", "narrow:640", "wide:641", "narrow:320"]
        assert (reader.batch_size, reader.model) == (8, narrow.model)
    assert narrow.calls == [(3, None, False)]
    assert wide.calls == [(2, None, False)]


def test_nothing_to_read_and_arguments_are_passed_on(narrow: FakeReader, wide: FakeReader) -> None:
    reader = SplitReader(narrow, wide, up_to=320)
    assert reader.read([]) == []
    reader.read([line(10)], batch_size=3, return_word_box=True)
    assert narrow.calls == [(1, 3, True)]
    assert wide.calls == []


def test_margins_are_asked_of_both(narrow: FakeReader, wide: FakeReader) -> None:
    lines = [line(100), line(500)]
    reader = SplitReader(narrow, wide, up_to=320)
    assert [text.margin for text in reader.read(lines, margin=0.3)] == [0.3, 0.3]
    assert [text.margin for text in reader.read(lines)] == [None, None]
    assert narrow.margins == wide.margins == [0.3, 0.0]


def test_each_meets_its_own_shapes(narrow: FakeReader, wide: FakeReader) -> None:
    narrow.bound = 4
    reader = SplitReader(narrow, wide, up_to=320)
    assert reader.meet([line(width) for width in (900, 100, 320, 321, 900)]) == Met(4, 4.0)
    assert (narrow.met, wide.met) == ([100, 320], [321, 900])
    assert reader.meet([line(100), line(321)]) == Met()
    assert reader.shapes == Shapes(4, 14)
    wide.bound = None
    assert reader.shapes == Shapes(4, None), "of one there is no end, so there is none of both"


def test_a_predictor_leaves_each_its_own_batch_size(narrow: FakeReader, wide: FakeReader) -> None:
    with Predictor(SplitReader(narrow, wide, up_to=320)) as predictor:
        list(predictor.predict_iter([line(100).pixels, line(500).pixels]))
        list(predictor.predict_iter([line(100).pixels], batch_size=3))
    assert narrow.calls == [(1, None, False), (1, 3, False)]
    assert wide.calls == [(1, None, False)]


def test_what_runs_names_both(narrow: FakeReader, wide: FakeReader) -> None:
    effective = SplitReader(narrow, wide, up_to=320).effective
    assert effective.backend == "narrow+wide"
    assert effective.engine_version == "narrow 1.0+wide 1.0"
    assert (effective.device, effective.precision, effective.threads) == ("cpu", "fp32", 2)
    assert effective.settings == {"up_to": 320, "narrow": {"of": "narrow"}, "wide": {"of": "wide"}}
    assert effective.notes == ("note of narrow", "note of wide")


def test_closing_closes_both_even_if_one_fails(narrow: FakeReader, wide: FakeReader) -> None:
    def fail() -> None:
        raise BackendError("narrow", "cannot close")

    narrow.close = fail  # type: ignore[method-assign]
    with pytest.raises(BackendError, match="cannot close"):
        SplitReader(narrow, wide, up_to=320).close()
    assert wide.closed
