"""Reading order for right-to-left scripts, which PaddleOCR's networks emit as they stand in the image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocrhpi.values import TextLine


def to_reading_order(line: TextLine) -> TextLine:
    """Turn the right-to-left runs of the text around, by the Unicode bidirectional algorithm (UAX #9), as PaddleX does.

    Word boxes stay as they were read, from left to right.
    """
    from bidi import get_display  # noqa: PLC0415 - needed by a few models only

    return replace(line, text=str(get_display(line.text)))
