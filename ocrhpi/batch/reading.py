"""Cells -> texts; a cell that cannot be read is a reading with an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ocrhpi.batch.cells import fault_of, read_cell
from ocrhpi.errors import BackendError, InputError
from ocrhpi.reading.stream import read_stream
from ocrhpi.values import TextLine, UnreadableLine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocrhpi.batch.cells import Cell
    from ocrhpi.predictor import Predictor
    from ocrhpi.values import LineImage


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
    stream = read_stream(predictor.reader, map(read_cell, cells), batch_size=batch_size)
    return [_reading(line, read) for line, read in stream]


def _reading(line: LineImage | UnreadableLine, read: TextLine | Exception) -> Reading:
    if isinstance(read, TextLine):
        return Reading(read.text, read.score)
    if isinstance(read, InputError | BackendError):
        return Reading("", 0.0, fault_of(UnreadableLine(read, line.input_path)))
    raise read
