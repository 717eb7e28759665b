"""What one cell of a table, or one row of a manifest, holds -> one line image, or why there is none."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias

from ocrhpi.errors import InputError, UnreadableInput, UnsupportedInput
from ocrhpi.recognition.inputs import read_lines
from ocrhpi.recognition.remote import is_url
from ocrhpi.values import LineImage, UnreadableLine

if TYPE_CHECKING:
    from typing import Any

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
