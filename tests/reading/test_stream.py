from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ocrhpi.errors import BackendError, UnreadableInput
from ocrhpi.reading.engine import EngineReader
from ocrhpi.reading.stream import WINDOW_BYTES, lines_ahead, read_stream, windows
from ocrhpi.values import LineImage, TextLine, UnreadableLine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def size_of(item: int) -> tuple[int, int]:
    return 1, item


def failing(error: BaseException, *items: int) -> Iterator[int]:
    yield from items
    raise error


def test_lines_or_bytes_fill_a_window() -> None:
    assert list(windows([1] * 5, size_of, most_lines=2)) == [[1, 1], [1, 1], [1]]
    assert list(windows([3, 4, 1, 9, 1], size_of, most_bytes=7)) == [[3, 4], [1, 9], [1]]
    assert list(windows([3, 4, 1, 9, 1], size_of)) == [[3, 4, 1, 9, 1]]
    assert list(windows([], size_of)) == []
    assert list(windows([0, 0, 0], lambda _: (5, 0), most_lines=9)) == [[0, 0], [0]]


def test_a_window_is_taken_only_when_it_is_asked_for() -> None:
    taken: list[int] = []
    stream = windows((taken.append(number) or number for number in range(9)), size_of, most_lines=2)  # type: ignore[func-returns-value]
    assert taken == []
    assert next(stream) == [0, 1]
    assert taken == [0, 1]


@pytest.mark.parametrize("before", [0, 1, 2, 3, 50])
def test_what_came_before_a_failure_comes_first_and_then_the_very_exception(before: int) -> None:
    error = OSError("the disk is gone")
    got: list[int] = []
    stream = windows(failing(error, *range(before)), size_of, most_lines=2)
    with pytest.raises(OSError, match="the disk is gone") as caught:
        got.extend(item for window in stream for item in window)
    assert got == list(range(before))
    assert caught.value is error
    assert (error.__cause__, error.__context__) == (None, None)


def test_an_interrupt_does_not_wait_for_the_rest() -> None:
    stream = windows(failing(KeyboardInterrupt(), 1, 2), size_of)
    with pytest.raises(KeyboardInterrupt):
        next(stream)


class Lengths(EngineReader):
    """Reads of each line how wide it is; fails at those of 7 pixels."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def read_each(
        self, lines: Sequence[LineImage], *, batch_size: int | None = None, return_word_box: bool = False
    ) -> Iterator[TextLine | Exception]:
        del batch_size, return_word_box
        self.calls.append(len(lines))
        for line in lines:
            width = line.pixels.shape[1]
            yield BackendError("lengths", "no sevens") if width == 7 else TextLine(str(width), 1.0)


def line(width: int) -> LineImage:
    return LineImage(np.zeros((48, width, 3), np.uint8))


UNREADABLE = UnreadableLine(UnreadableInput("x", "is empty"))


def test_texts_and_errors_come_in_the_places_of_their_lines() -> None:
    reader = Lengths()
    lines: list[LineImage | UnreadableLine] = [line(5), UNREADABLE, line(7), line(9)]
    pairs = list(read_stream(reader, iter(lines)))
    assert [one for one, _ in pairs] == lines
    assert [read.text if isinstance(read, TextLine) else type(read) for _, read in pairs] == [
        *("5", UnreadableInput, BackendError, "9")
    ]
    assert reader.calls == [3]


@pytest.mark.parametrize(("stop_early", "calls"), [(False, [2, 1]), (True, [1, 2])])
def test_who_stops_at_the_first_error_reads_nothing_in_vain(stop_early: bool, calls: list[int]) -> None:
    reader = Lengths()
    list(read_stream(reader, [line(1), UNREADABLE, line(2), line(3)], most_lines=3, stop_early=stop_early))
    assert reader.calls == calls


def test_pixels_bound_a_window() -> None:
    reader = Lengths()
    list(read_stream(reader, [line(WINDOW_BYTES // (2 * 48 * 3) + 1)] * 5))
    assert reader.calls == [2, 2, 1]


@pytest.mark.parametrize(
    ("batch_size", "one_by_one", "expected"), [(1, True, 1), (8, True, 64), (1, False, 256), (64, False, 512)]
)
def test_how_far_ahead(batch_size: int, one_by_one: bool, expected: int) -> None:
    assert lines_ahead(batch_size, one_by_one=one_by_one) == expected
