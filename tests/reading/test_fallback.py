"""The next reader where one fails: no line is lost, each failure is one warning."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from ocrhpi.errors import BackendClosed, BackendError, BackendUnavailable, BatchError, ModelFormatError
from ocrhpi.predictor import Predictor
from ocrhpi.reading.base import Met, Shapes
from ocrhpi.reading.fallback import FallbackReader
from tests.reading.fake_reader import FakeReader, line

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrhpi.reading.fallback import Source


def source(reader: FakeReader) -> Source:
    return reader.name, lambda: reader


def unavailable(name: str) -> Callable[[], FakeReader]:
    def fail() -> FakeReader:
        raise BackendUnavailable(name, "it does not import", f"pip install {name}")

    return fail


@pytest.fixture
def first() -> FakeReader:
    return FakeReader("first", batch_size=8)


@pytest.fixture
def second() -> FakeReader:
    return FakeReader("second")


def test_the_first_reads_as_long_as_it_works(first: FakeReader, second: FakeReader) -> None:
    opened = []
    reader = FallbackReader([source(first), ("second", lambda: opened.append(1) or second)])  # type: ignore[func-returns-value]
    assert [text.text for text in reader.read([line(5), line(6)], batch_size=4, return_word_box=True)] == [
        "first:5",
        "first:6",
    ]
    assert first.calls == [(2, 4, True)]
    assert (reader.batch_size, reader.effective.backend, opened) == (8, "first", [])


def test_what_does_not_load_is_passed_over_with_a_warning(second: FakeReader, caplog: pytest.LogCaptureFixture) -> None:
    reader = FallbackReader([("first", unavailable("first")), source(second)])
    assert reader.read([line(5)])[0].text == "second:5"
    (warning,) = caplog.records
    assert "first could not be loaded" in warning.getMessage()
    assert "pip install first" in warning.getMessage()


def test_none_loads_is_the_last_error() -> None:
    with pytest.raises(BackendUnavailable, match="pip install second"):
        FallbackReader([("first", unavailable("first")), ("second", unavailable("second"))])


def test_lines_that_one_fails_at_are_read_by_the_next_and_warned_of_once(
    first: FakeReader, second: FakeReader, caplog: pytest.LogCaptureFixture
) -> None:
    reader = FallbackReader([source(first), source(second)])
    first.failure = BackendError("first", "the device was lost")
    with caplog.at_level(logging.WARNING, "ocrhpi"):
        for _ in range(3):
            assert [text.text for text in reader.read([line(5), line(6)])] == ["second:5", "second:6"]
    assert [record.getMessage() for record in caplog.records] == [
        "first failed (backend 'first': the device was lost.) and is given up; second reads from here on"
    ]
    assert first.closed
    assert first.calls == [(2, None, False), (1, None, False)]  # the second: does it read anything at all?
    assert reader.effective.backend == "second"


def test_a_predictor_in_the_middle_of_a_stream_loses_no_line(first: FakeReader, second: FakeReader) -> None:
    images = [line(50 + number).pixels for number in range(200)]
    with Predictor(FallbackReader([source(first), source(second)])) as predictor:
        texts = []
        for number, result in enumerate(predictor.predict_iter(iter(images))):
            texts.append(result["rec_text"])
            if number == 70:
                first.failure = BackendError("first", "out of memory")
    assert [int(text.split(":")[1]) for text in texts] == [50 + number for number in range(200)]
    assert texts[0].startswith("first")
    assert texts[-1].startswith("second")


def test_the_last_one_fails_with_its_error(first: FakeReader) -> None:
    reader = FallbackReader([source(first)])
    first.failure = BackendError("first", "the device was lost")
    with pytest.raises(BackendError, match="the device was lost"):
        reader.read([line(5)])


@pytest.mark.parametrize(
    "error", [BatchError("first", "a list", "an array"), ModelFormatError("model", "vocabulary", "too small")]
)
def test_errors_that_no_other_engine_would_mend_are_raised(
    first: FakeReader, second: FakeReader, error: Exception
) -> None:
    reader = FallbackReader([source(first), source(second)])
    first.failure = error
    with pytest.raises(type(error)):
        reader.read([line(5)])
    assert not second.calls


def test_many_threads_that_meet_the_failure_replace_the_reader_once(first: FakeReader, second: FakeReader) -> None:
    third = FakeReader("third")
    reader = FallbackReader([source(first), source(second), source(third)])
    first.failure = BackendError("first", "the device was lost")
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda width: reader.read([line(width)])[0].text, range(1, 65)))
    assert texts == [f"second:{width}" for width in range(1, 65)]
    assert not third.calls


def test_margins_and_shapes_are_those_of_the_reader_in_use(first: FakeReader, second: FakeReader) -> None:
    second.bound = None
    reader = FallbackReader([source(first), source(second)])
    assert reader.read([line(5)], margin=0.2)[0].margin == 0.2
    assert reader.meet([line(5), line(6)]) == Met(2, 2.0)
    assert reader.shapes == Shapes(2, 10)
    first.failure = BackendError("first", "the device was lost")
    (text,) = reader.read([line(5)], margin=0.2)
    assert (text.text, text.margin, second.margins) == ("second:5", 0.2, [0.2])
    assert reader.shapes == Shapes(0, None)
    assert reader.meet([line(7)]) == Met(1, 1.0)
    assert (first.met, second.met) == ([5, 6], [7])


def test_closing_is_final_and_no_failure(first: FakeReader, second: FakeReader) -> None:
    reader = FallbackReader([source(first), source(second)])
    reader.close()
    reader.close()
    with pytest.raises(BackendClosed):
        reader.read([line(5)])
    assert not second.calls


def test_a_line_that_only_the_last_one_reads_is_no_reason_to_give_the_first_up(
    first: FakeReader, second: FakeReader, caplog: pytest.LogCaptureFixture
) -> None:
    last = FakeReader("last")
    reader = FallbackReader([source(first), source(second), source(last)])
    first.widest = 500
    with caplog.at_level(logging.WARNING, "ocrhpi"):
        for _ in range(2):
            texts = list(reader.read_each([line(5), line(900), line(6)], batch_size=4))
            assert [getattr(text, "text", text) for text in texts] == ["first:5", "last:900", "first:6"]
    assert not second.calls
    assert last.calls == [(1, None, False)] * 2
    assert [record.getMessage() for record in caplog.records] == [
        "backend 'first': out of memory; the 3 lines are read one by one",
        "first failed at a line (backend 'first': out of memory.); last reads such lines",
        "backend 'first': out of memory; the 3 lines are read one by one",
    ]
    assert reader.effective.backend == "first"
    first.failure = BackendError("first", "the device was lost")
    assert reader.read([line(7)])[0].text == "second:7"
    second.failure = BackendError("second", "the device was lost")
    assert reader.read([line(8)])[0].text == "last:8"
    assert (first.closed, second.closed, last.closed) == (True, True, False)
    reader.close()
    assert last.closed


def test_a_line_that_none_reads_is_an_error_and_the_first_goes_on(first: FakeReader, second: FakeReader) -> None:
    reader = FallbackReader([source(first), source(second)])
    first.widest = second.widest = 500
    for _ in range(2):
        five, wide, six = reader.read_each([line(5), line(900), line(6)])
        assert isinstance(wide, BackendError)
        assert [getattr(text, "text", None) for text in (five, six)] == ["first:5", "first:6"]
    reader.close()
    assert (first.closed, second.closed) == (True, True)


def test_a_last_one_that_does_not_load_leaves_the_error(first: FakeReader, caplog: pytest.LogCaptureFixture) -> None:
    reader = FallbackReader([source(first), ("last", unavailable("last"))])
    first.widest = 500
    with pytest.raises(BackendError, match="out of memory"):
        reader.read([line(900)])
    assert "last could not be loaded" in caplog.text
    assert reader.read([line(5)])[0].text == "first:5"
