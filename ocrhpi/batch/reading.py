"""Cells -> texts, in windows that bound the memory and let lines of like width meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ocrhpi.batch.cells import fault_of, read_cell
from ocrhpi.values import LineImage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ocrhpi.batch.cells import Cell
    from ocrhpi.predictor import Predictor
    from ocrhpi.values import UnreadableLine

__all__ = ["Reading", "read_cells"]

_WINDOW_BYTES = 64 << 20
"""Decoded pixels that are held at once: some 1,400 lines of 320 x 48, or a few dozen photographs."""


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
        BackendError: The engine failed.
    """
    readings: list[Reading] = []
    for window in _windows(map(read_cell, cells)):
        readable = [line for line in window if isinstance(line, LineImage)]
        texts = iter(predictor.reader.read(readable, batch_size=batch_size) if readable else ())
        for line in window:
            if isinstance(line, LineImage):
                read = next(texts)
                readings.append(Reading(read.text, read.score))
            else:
                readings.append(Reading("", 0.0, fault_of(line)))
    return readings


def _windows(lines: Iterable[LineImage | UnreadableLine]) -> Iterator[list[LineImage | UnreadableLine]]:
    window: list[LineImage | UnreadableLine] = []
    held = 0
    for line in lines:
        window.append(line)
        held += line.pixels.nbytes if isinstance(line, LineImage) else 0
        if held >= _WINDOW_BYTES:
            yield window
            window, held = [], 0
    if window:
        yield window
