from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ocrhpi.errors import UnreadableInput
from ocrhpi.recognition.windows import size_of_line, windows
from ocrhpi.values import LineImage, UnreadableLine

if TYPE_CHECKING:
    from collections.abc import Iterator


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


def test_sizes_of_lines() -> None:
    assert size_of_line(LineImage(np.zeros((48, 10, 3), np.uint8))) == (1, 48 * 10 * 3)
    assert size_of_line(UnreadableLine(UnreadableInput("x", "is empty"))) == (1, 0)
