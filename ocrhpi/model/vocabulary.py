"""Vocabularies: from dictionaries and metadata, and how they fit the classes of a network."""

from __future__ import annotations

import os.path
import unicodedata
from typing import TYPE_CHECKING

from ocrhpi.data_files import read_bounded
from ocrhpi.errors import ModelFormatError, ModelNotFound
from ocrhpi.graph_facts import split_vocabulary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_RIGHT_TO_LEFT = ("R", "AL")  # bidirectional classes of Hebrew and of Arabic letters (UAX #9)
_SHARE = 5  # one letter of so many; vocabularies of other scripts hold none, those of these more than a third


def read_dictionary(path: Path) -> list[str]:
    """Return the entries of a dictionary file, one a line.

    Raises:
        ModelNotFound: There is no such file.
        ModelFormatError: It is no UTF-8 text, or cannot be read.
    """
    if not os.path.exists(path) or path.is_dir():  # noqa: PTH110 - which no name is too long for
        raise ModelNotFound(path, "a dictionary, one entry a line")
    try:
        return split_vocabulary(read_bounded(path).decode("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ModelFormatError(path, "dictionary", f"expected UTF-8 text, one entry a line ({error})") from error


def fit_classes(
    entries: Sequence[str], classes: int | None, path: Path, *, space: bool | None
) -> tuple[tuple[str, ...], bool]:
    """Return the vocabulary without what stands behind it by mistake, and whether a space was appended.

    PaddleOCR appends the space where the model was trained with ``use_space_char``, and an editor or a converter may
    have left empty entries at the end of the dictionary. The classes are blank, vocabulary, and space.

    Args:
        entries: The dictionary as it stands.
        classes: Of the network; None where its file does not say.
        path: The model, for messages.
        space: What the user says about the space; None: the classes decide, and where they are not known, there is one.

    Raises:
        ModelFormatError: It does not fit.
    """
    count = len(entries)
    while count and not entries[count - 1]:
        count -= 1
    shortened = tuple(entries[:count])
    spaces = (True, False) if space is None else (space,)
    if classes is None:
        return shortened, spaces[0]
    for appended in spaces:
        for vocabulary in (tuple(entries), shortened):
            if len(vocabulary) + 1 + appended == classes:
                return vocabulary, appended
    expected = " or ".join(str(count + 1 + appended) for appended in sorted(spaces))
    said = "" if space is None else f" with use_space_char {str(space).lower()}"
    raise ModelFormatError(
        path,
        "vocabulary",
        f"the network has {classes} classes, but its dictionary has {count} entries{said}, which with the blank makes "
        f"{expected}; the model and its dictionary do not belong together",
    )


def is_right_to_left(vocabulary: Sequence[str]) -> bool:
    """Whether a vocabulary is that of a right-to-left script, such as Arabic: at least a fifth of its letters are."""
    letters = [entry[0] for entry in vocabulary if entry and entry[0].isalpha()]
    written = sum(unicodedata.bidirectional(letter) in _RIGHT_TO_LEFT for letter in letters)
    return written > 0 and _SHARE * written >= len(letters)
