"""Cells -> texts, in windows that bound the memory and let lines of like width meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ocrhpi.batch.cells import fault_of, read_cell
from ocrhpi.errors import BackendError
from ocrhpi.recognition.windows import WINDOW_BYTES, size_of_line, windows
from ocrhpi.values import LineImage, TextLine, UnreadableLine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocrhpi.batch.cells import Cell
    from ocrhpi.predictor import Predictor

__all__ = ["Reading", "read_cells"]


class Reading(NamedTuple):
    """What was read in one row.

    Attributes:
        text: The text; empty if nothing was read.
        score: Mean probability of its characters, 0.0 for an empty text.
        error: Why the image could not be read; None if it could.
    """

    text: str
    score: float
    error: str | None = None


def read_cells(predictor: Predictor, cells: Iterable[Cell], batch_size: int | None = None) -> list[Reading]:
    """Read all cells; one that cannot be read gives a reading with an error in its place.

    Args:
        predictor: What reads.
        cells: See `ocrhpi.batch.cells.Cell`.
        batch_size: Most lines in one call of the engine; None takes the predictor's own.

    Raises:
        BackendError: The engine does not work any more; where it fails at a line, that is the error of the line.
    """
    readings: list[Reading] = []
    for window in windows(map(read_cell, cells), size_of_line, most_bytes=WINDOW_BYTES):
        readable = [line for line in window if isinstance(line, LineImage)]
        texts = predictor.reader.read_each(readable, batch_size=batch_size)
        readings += [_reading(next(texts), line) if isinstance(line, LineImage) else _unread(line) for line in window]
    return readings


def _reading(read: TextLine | Exception, line: LineImage) -> Reading:
    if isinstance(read, TextLine):
        return Reading(read.text, read.score)
    if isinstance(read, BackendError):
        return _unread(UnreadableLine(read, line.input_path))
    raise read


def _unread(line: UnreadableLine) -> Reading:
    return Reading("", 0.0, fault_of(line))
