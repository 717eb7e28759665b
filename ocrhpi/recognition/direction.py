"""Visual order for right-to-left scripts: PaddleOCR's Arabic models are trained on, and return, visual text."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocrhpi.values import TextLine

__all__ = ["to_visual_order"]


def to_visual_order(line: TextLine) -> TextLine:
    """Reorder the text by the Unicode bidirectional algorithm (UAX #9); word boxes stay as they were read."""
    from bidi import get_display  # noqa: PLC0415 - needed by a few models only

    return replace(line, text=str(get_display(line.text)))
