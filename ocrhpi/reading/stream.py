"""The one read loop: a stream of lines in windows, what is readable read, errors in the places of their lines.

A window is large enough for lines of like width to meet, and small enough for streams without end.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from ocrhpi.values import LineImage, TextLine, UnreadableLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ocrhpi.reading.base import LineReader

WINDOW_BYTES = 64 << 20
"""Decoded pixels that are held at once: some 1,400 lines of 320 x 48, or a few dozen photographs."""

_WINDOW_BATCHES = 8
_WINDOW_LINES = 256  # at least, where all results come at once: batches are fuller, and cores wait less often

ItemT = TypeVar("ItemT")


def read_stream(
    reader: LineReader,
    lines: Iterable[LineImage | UnreadableLine],
    *,
    most_lines: float = math.inf,
    batch_size: int | None = None,
    return_word_box: bool = False,
    stop_early: bool = False,
) -> Iterator[tuple[LineImage | UnreadableLine, TextLine | Exception]]:
    """Read a stream, lazily; holds no more than a window of it.

    Args:
        reader: What reads.
        lines: The stream.
        most_lines: Lines that are read together, if their pixels do not fill `WINDOW_BYTES` before.
        batch_size: As in `ocrhpi.reading.base.LineReader.read`.
        return_word_box: As there.
        stop_early: A line that cannot be read ends its window, so that nothing is read in vain by those who stop there.

    Yields:
        Each line, in order, with its text or with the error that takes its place.

    Raises:
        BackendError: The engine does not work any more, or was closed.
        Exception: What the stream raises, unchanged, after what it gave before.
    """

    def size_of(line: LineImage | UnreadableLine) -> tuple[int, int]:
        return 1, line.pixels.nbytes if isinstance(line, LineImage) else WINDOW_BYTES if stop_early else 0

    for window in windows(lines, size_of, most_lines=most_lines, most_bytes=WINDOW_BYTES):
        readable = [line for line in window if isinstance(line, LineImage)]
        texts = reader.read_each(readable, batch_size=batch_size, return_word_box=return_word_box)
        for line in window:
            yield line, next(texts) if isinstance(line, LineImage) else line.error


def lines_ahead(batch_size: int, *, one_by_one: bool) -> int:
    """Return how many lines to read together: as many as make full batches, and one where each is waited for.

    Args:
        batch_size: Lines of a batch.
        one_by_one: Whether results are used as they come. With a batch size of 1 each then comes as soon as it is read.
    """
    if not one_by_one:
        return max(_WINDOW_LINES, _WINDOW_BATCHES * batch_size)
    return 1 if batch_size == 1 else _WINDOW_BATCHES * batch_size


def windows(
    items: Iterable[ItemT],
    size_of: Callable[[ItemT], tuple[int, int]],
    *,
    most_lines: float = math.inf,
    most_bytes: float = math.inf,
) -> Iterator[list[ItemT]]:
    """Cut a stream into windows; each ends with the item that fills it.

    What a stream gave before it failed comes first, as a last window; then its own exception.

    Args:
        items: The stream.
        size_of: Says of an item how many lines it holds, and how many bytes of pixels.
        most_lines: Lines that fill a window.
        most_bytes: Bytes that fill a window.

    Raises:
        Exception: What the stream raises, unchanged.
    """
    stream = iter(items)
    failure: Exception | None = None
    window: list[ItemT] = []
    lines = size = 0
    while True:
        try:
            item = next(stream)
        except StopIteration:
            break
        except Exception as error:  # noqa: BLE001 - raised below
            failure = error
            break
        window.append(item)
        more_lines, more_bytes = size_of(item)
        lines, size = lines + more_lines, size + more_bytes
        if lines >= most_lines or size >= most_bytes:
            yield window
            window, lines, size = [], 0, 0
    if window:
        yield window
    if failure is not None:
        raise failure
