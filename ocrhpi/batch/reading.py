"""What one cell of a table, or one row of a manifest, holds -> one line -> its text, or why there is none."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ocrhpi.errors import BackendError, InputError, UnreadableInput, UnsupportedInput
from ocrhpi.reading.stream import read_stream
from ocrhpi.recognition.inputs import is_url, read_lines
from ocrhpi.values import LineImage, TextLine, UnreadableLine

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ocrhpi.predictor import Predictor
    from ocrhpi.values import LineImage

Cell: TypeAlias = object
"""One image: a path, a URL, encoded bytes, an array (BGR), a PIL image, a mapping with the key ``bytes`` (as datasets
of Hugging Face have it); or an `InputError` in its place."""


def read_cell(cell: Cell) -> LineImage | UnreadableLine:
    """Read the one line that a cell holds."""
    if isinstance(cell, Mapping):
        cell = cell.get("bytes")
    if isinstance(cell, InputError):
        return UnreadableLine(cell, getattr(cell, "where", None))
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):  # pandas has NaN for null
        return UnreadableLine(UnreadableInput("this cell", "is empty (null)"))
    if isinstance(cell, list | tuple | Iterator):
        return UnreadableLine(UnsupportedInput(cell))
    if isinstance(cell, str | os.PathLike) and _is_directory(cell):
        path = os.fsdecode(cell)
        return UnreadableLine(UnreadableInput(path, "is a directory; expected the file of one line"), path)
    return _only_line(cell)


def fault_of(line: UnreadableLine) -> str:
    """Return why a line cannot be read, as text that every file format takes."""
    fault = str(line.error) if line.input_path else getattr(line.error, "reason", str(line.error))
    return fault.encode("utf-8", "backslashreplace").decode()  # paths may hold bytes that are no text


def file_content(cell: Cell) -> Cell:
    """Return the bytes of a file in place of its path, for a reader that cannot see the file; others as they are."""
    if not isinstance(cell, str) or is_url(cell):
        return cell
    try:
        with open(cell, "rb") as file:  # noqa: PTH123 - pathlib refuses some names that are only unusual
            return file.read()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return UnreadableInput(cell, reason)
    except ValueError as error:
        return UnreadableInput(repr(cell), f"cannot be a path ({error})")


def _only_line(cell: Any) -> LineImage | UnreadableLine:  # noqa: ANN401 - read_lines() tells what is no input
    lines = read_lines(cell)
    first = next(lines, None)
    if first is not None and next(lines, None) is None:
        return first
    path = os.fsdecode(cell) if isinstance(cell, str | os.PathLike) else None
    pages = "holds no page" if first is None else "holds several pages"
    return UnreadableLine(UnreadableInput(path or "this cell", f"{pages}; expected one line a row"), path)


def _is_directory(path: str | os.PathLike[str]) -> bool:
    try:
        return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir() may raise
    except ValueError:
        return False


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
        cells: See `ocrhpi.batch.reading.Cell`.
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
