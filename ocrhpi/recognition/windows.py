"""Streams in windows: large enough for lines of like width to meet, small enough for streams without end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from ocrhpi.values import LineImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ocrhpi.values import UnreadableLine

__all__ = ["WINDOW_BATCHES", "WINDOW_BYTES", "size_of_line", "windows"]

WINDOW_BATCHES = 8
"""Batches that are read ahead where results come one by one."""

WINDOW_BYTES = 64 << 20
"""Decoded pixels that are held at once: some 1,400 lines of 320 x 48, or a few dozen photographs."""

ItemT = TypeVar("ItemT")


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


def size_of_line(line: LineImage | UnreadableLine) -> tuple[int, int]:
    """Return the size of one line for `windows`; what cannot be read takes no memory."""
    return 1, line.pixels.nbytes if isinstance(line, LineImage) else 0
