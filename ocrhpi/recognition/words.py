"""Grouping of the characters of a line into words, for ``return_word_box``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ocrhpi.values import WordBoxes

if TYPE_CHECKING:
    from collections.abc import Sequence

_IDEOGRAPHS = ("\u4e00", "\u9fff")
_ALPHANUMERIC = re.compile("[a-zA-Z0-9]")
_DIGIT = re.compile("[0-9]")


def word_boxes(characters: Sequence[str], columns: Sequence[int], column_count: float) -> WordBoxes:
    """Group the characters of one line into runs of one kind.

    The rules are PaddleX's: CJK ideographs, ASCII letters with digits, and all other characters form runs of
    their own; within letters and digits a point before a digit ("1.5") and a hyphen ("VGG-16") do not end the run.

    Args:
        characters: The emitted labels of the line.
        columns: The 0-based time step of each.
        column_count: Time steps that cover the line without its right padding.
    """
    boxes = WordBoxes(column_count, [], [], [])
    for position, (character, column) in enumerate(zip(characters, columns, strict=True)):
        following = characters[position + 1] if position + 1 < len(characters) else ""
        kind = _kind(character, following, boxes.kinds[-1] if boxes.kinds else "")
        if not boxes.kinds or boxes.kinds[-1] != kind:
            boxes.words.append([])
            boxes.columns.append([])
            boxes.kinds.append(kind)
        boxes.words[-1].append(character)
        boxes.columns[-1].append(column)
    return boxes


def _kind(character: str, following: str, running: str) -> str:
    if running == "en&num" and (character == "-" or (character == "." and _DIGIT.search(following))):
        return "en&num"
    if _IDEOGRAPHS[0] <= character <= _IDEOGRAPHS[1]:
        return "cn"
    return "en&num" if _ALPHANUMERIC.search(character) else "symbol"
