"""The picture of a result: the line with a caption strip below it, in fonts that cover what was read."""

from __future__ import annotations

import itertools
import os
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from ocrhpi.errors import OptionError

if TYPE_CHECKING:
    from PIL import Image, ImageFont

    from ocrhpi.values import Pixels

__all__ = ["FONT_VARIABLES", "captioned"]

FONT_VARIABLES = ("OCRHPI_FONT", "PADDLE_PDX_LOCAL_FONT_FILE_PATH")
"""Environment variables that name a font file to use for everything; the second is the peer's."""

_FONT_PER_WIDTH = 0.06  # the peer's proportion
_LEAST_FONT_PX, _MOST_FONT_PX = 14, 60
_MARGIN_PX = 4
_LINE_SPACING = 1.4

_DEFAULT_FONT = "wqy-microhei.ttc"  # Latin, Greek, Cyrillic, CJK, kana, Hangul, symbols
_ARABIC_FONT = "NotoSansArabic-Regular.ttf"
_SCRIPT_FONTS = (  # first and last code point of a Unicode block, and the font for it
    (0x0600, 0x06FF, _ARABIC_FONT),
    (0x0750, 0x077F, _ARABIC_FONT),
    (0x08A0, 0x08FF, _ARABIC_FONT),
    (0xFB50, 0xFDFF, _ARABIC_FONT),
    (0xFE70, 0xFEFF, _ARABIC_FONT),
    (0x0900, 0x097F, "NotoSansDevanagari-Regular.ttf"),
    (0x0B80, 0x0BFF, "NotoSansTamil-Regular.ttf"),
    (0x0C00, 0x0C7F, "NotoSansTelugu-Regular.ttf"),
    (0x0C80, 0x0CFF, "NotoSansKannada-Regular.ttf"),
    (0x0E00, 0x0E7F, "NotoSansThai-Regular.ttf"),
)


def captioned(pixels: Pixels, caption: str) -> Image.Image:
    """Draw ``pixels`` (BGR) with ``caption`` below, RGB.

    The font is 6 % of the width, smaller where the caption would not fit, but never illegible: a line too narrow
    for its caption gets a wider picture.

    Raises:
        OptionError: A font file named by the environment cannot be read.
    """
    from PIL import Image, ImageDraw  # noqa: PLC0415 - only pictures need Pillow

    height, width = pixels.shape[:2]
    size = min(_MOST_FONT_PX, max(_LEAST_FONT_PX, int(width * _FONT_PER_WIDTH)))
    needed = _caption_width(caption, size)
    if needed > width:
        size = max(_LEAST_FONT_PX, int(size * width / needed))
        needed = _caption_width(caption, size)
    strip = int(size * _LINE_SPACING) + _MARGIN_PX
    picture = Image.new("RGB", (max(width, needed), height + strip), "white")
    picture.paste(Image.fromarray(pixels[..., ::-1]), (0, 0))
    draw = ImageDraw.Draw(picture)
    x = float(_MARGIN_PX)
    for text, font in _runs(caption, size):
        draw.text((x, height + size + _MARGIN_PX // 2), text, fill="black", font=font, anchor="ls")
        x += font.getlength(text)
    return picture


def _caption_width(caption: str, size: int) -> int:
    return 2 * _MARGIN_PX + round(sum(font.getlength(text) for text, font in _runs(caption, size)) + 0.5)


def _runs(caption: str, size: int) -> list[tuple[str, ImageFont.FreeTypeFont]]:
    """Cut the caption where its font changes; a space stays in the run before it."""
    from PIL import ImageFont, features  # noqa: PLC0415

    override = _font_of_the_environment()
    if override:
        return [(caption, ImageFont.truetype(override, size))]
    names = [_font_name(character) for character in caption]
    for position in range(1, len(names)):
        if caption[position] == " ":
            names[position] = names[position - 1]
    runs = []
    grouped = itertools.groupby(zip(caption, names, strict=True), key=lambda pair: pair[1])
    for name, pairs in grouped:
        text = "".join(character for character, _ in pairs)
        if name == _ARABIC_FONT and features.check("raqm"):
            text = text[::-1]  # read in visual order; Raqm wants logical order, joins the letters and turns it round
        runs.append((text, _shipped_font(name, size)))
    return runs


@lru_cache(maxsize=64)
def _shipped_font(name: str, size: int) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont  # noqa: PLC0415

    with resources.as_file(resources.files("ocrhpi") / "fonts" / name) as path:
        return ImageFont.truetype(path, size)


def _font_name(character: str) -> str:
    code = ord(character)
    return next((name for first, last, name in _SCRIPT_FONTS if first <= code <= last), _DEFAULT_FONT)


def _font_of_the_environment() -> Path | None:
    for variable in FONT_VARIABLES:
        value = os.environ.get(variable)
        if value:
            if not Path(value).is_file():
                raise OptionError(variable, f"received {value!r}, which is not a file; expected a font file")
            return Path(value)
    return None
