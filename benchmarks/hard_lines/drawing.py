"""A text drawn clean: how much ink is where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL.ImageFont import FreeTypeFont

__all__ = ["Ink", "draw"]

Ink: TypeAlias = "npt.NDArray[np.floating[Any]]"
"""(height, width), 0.0 for paper to 1.0 for ink."""

_LARGEST = (0.62, 0.86)  # size of the letters as a share of the height
_MARGINS = (0.05, 0.4)  # left and right, as a share of the height
_FILLED = 0.96  # of the height, at most


def draw(text: str, font: FreeTypeFont, height: int, rng: np.random.Generator) -> Ink:
    """Draw one line, ``height`` pixels high and as wide as it comes, with chance margins.

    Args:
        text: What is written.
        font: The face; its size is chosen here.
        height: In pixels.
        rng: Decides size and place.
    """
    font = font.font_variant(size=round(height * rng.uniform(*_LARGEST)))
    left, top, right, bottom = font.getbbox(text)
    if bottom - top > height * _FILLED:
        font = font.font_variant(size=int(font.size * height * _FILLED / (bottom - top)))
        left, top, right, bottom = font.getbbox(text)
    before, after = rng.uniform(*_MARGINS, 2) * height
    image = Image.new("L", (round(right - left + before + after), height))
    above = (height - (bottom - top)) * rng.uniform(0.3, 0.7)
    ImageDraw.Draw(image).text((before - left, above - top), text, fill=255, font=font)
    return np.asarray(image, np.float32) / 255
