"""PaddleOCR's label files: which text is written on which image."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ocrhpi.data_files import read_json
from ocrhpi.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SHOWN = 80  # characters of a malformed line in a message


@dataclass(frozen=True, slots=True)
class Label:
    """What is written on one image.

    Attributes:
        path: The image, as the file spells it: relative to the folder of the dataset.
        text: The text; may be empty.
        row: Number of the line in the file, from 1.
    """

    path: str
    text: str
    row: int


def read_labels(file: Path, option: str) -> tuple[Label, ...]:
    """Read a label file of PaddleOCR, in UTF-8: ``path<TAB>text`` a line.

    A JSON list of paths in place of the path, ``["a.jpg", "b.jpg"]``, gives each of these images the text. Blank lines
    are skipped. Order and repetitions are kept.

    Args:
        file: The label file.
        option: The option that named it, for the errors.

    Raises:
        OptionError: The file cannot be read, or a line is malformed; the error names the file and the line.
    """
    try:
        content = file.read_text("utf-8-sig")
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        raise OptionError(option, f"{file} cannot be read ({error}); expected a text file in UTF-8") from error
    labels: list[Label] = []
    for number, row in enumerate(content.split("\n"), start=1):  # not splitlines: texts may hold its rarer separators
        if not row.strip():
            continue
        first, tab, text = row.partition("\t")
        paths = _paths(first.strip())
        if not paths or not tab or "\t" in text:
            problem = f"received {row[:_SHOWN]!r}, expected one path, or a JSON list of paths, a tab and one text"
            raise OptionError(option, f"{file}, line {number}: {problem}")
        labels += [Label(path, text, number) for path in paths]
    return tuple(labels)


def find_image(folder: Path, path: str) -> Path | None:
    """Return the file of a label's image, whichever system wrote the label; None if there is none.

    Args:
        folder: What the path is relative to.
        path: As in the label file: with slashes or backslashes, its accents composed or not.
    """
    return next(filter(_is_file, (folder / spelling for spelling in _spellings(path))), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name that is too long
        return False


def _spellings(path: str) -> Iterator[str]:
    for slashed in (path, path.replace("\\", "/")):
        yield slashed
        yield unicodedata.normalize("NFC", slashed)
        yield unicodedata.normalize("NFD", slashed)


def _paths(column: str) -> list[str]:
    """Return the paths in the first column; none if it is malformed."""
    listed = _json_list(column)
    if listed is None:
        return [column] if column else []
    paths = [path.strip() for path in listed if isinstance(path, str)]
    return paths if all(paths) and len(paths) == len(listed) else []


def _json_list(column: str) -> list[Any] | None:
    """Return the JSON list in the column; None if there is none: a file may have a bracket in its name."""
    if not column.startswith("["):
        return None
    try:
        found = read_json(column)
    except ValueError:
        return None
    return found if isinstance(found, list) else None
