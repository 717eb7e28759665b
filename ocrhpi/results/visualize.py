"""The picture of a result: the line with a caption strip below it, in fonts that cover what was read."""

from __future__ import annotations

import itertools
import math
import os
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ocrhpi.errors import OptionError

if TYPE_CHECKING:
    from PIL import Image, ImageFont

    from ocrhpi.values import Pixels

FONT_VARIABLES = ("OCRHPI_FONT", "PADDLE_PDX_LOCAL_FONT_FILE_PATH")
"""Environment variables that name a font file to use for everything; the second is the peer's."""

_FONT_PER_WIDTH = 0.06  # the peer's proportion
_MIN_FONT_PX, _MAX_FONT_PX = 14, 60
_MARGIN_PX = 4
_USUAL_DESCENT = 0.4  # of the font size

_DEFAULT_FONT = "wqy-microhei.ttc"  # CJK, kana, Hangul, symbols
_ALPHABETS_FONT = "NotoSans-Regular.ttf"
_ARABIC_FONT = "NotoSansArabic-Regular.ttf"
_SCRIPT_FONTS = (  # first and last code point of Unicode blocks, and the font for them
    (0x0000, 0x058F, _ALPHABETS_FONT),  # Latin, Greek, Cyrillic
    (0x1E00, 0x1FFF, _ALPHABETS_FONT),  # their extensions
    (0x2070, 0x215F, _ALPHABETS_FONT),  # currencies, letter-like signs, fractions; the default font's ℃ is blank
    (0x2160, 0x218F, "NotoSansSymbols-Regular.ttf"),  # Roman numerals; some are blank in the default font
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


_LINE_BREAKS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029), " ")


class _Run(NamedTuple):
    """A part of the caption in one font, left to right of the part before it."""

    text: str
    font: ImageFont.FreeTypeFont
    direction: str | None

    @property
    def width(self) -> float:
        return self.font.getlength(self.text, direction=self.direction)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of its ink; the origin is where its baseline starts."""
        return self.font.getbbox(self.text, direction=self.direction, anchor="ls")


def captioned(pixels: Pixels, caption: str) -> Image.Image:
    """Draw ``pixels`` (BGR) with ``caption`` below, RGB.

    The font is 6 % of the width, smaller where the caption would not fit, but never illegible: a line too narrow
    for its caption gets a wider picture.

    Raises:
        OptionError: A font file named by the environment cannot be read.
    """
    from PIL import Image, ImageDraw  # noqa: PLC0415 - only pictures need Pillow

    caption = caption.translate(_LINE_BREAKS)  # a caption is one line
    height, width = pixels.shape[:2]
    size = min(_MAX_FONT_PX, max(_MIN_FONT_PX, int(width * _FONT_PER_WIDTH)))
    runs = _runs(caption, size)
    if _caption_width(runs) > width:
        size = max(_MIN_FONT_PX, int(size * width / _caption_width(runs)))
        runs = _runs(caption, size)
    # Vowel signs and tails of some scripts reach further up and down than the size of the font says.
    ascent = max([size, *(math.ceil(-run.box[1]) for run in runs)])
    descent = max([int(size * _USUAL_DESCENT), *(math.ceil(run.box[3]) for run in runs)])
    strip = ascent + descent + _MARGIN_PX
    picture = Image.new("RGB", (max(width, _caption_width(runs)), height + strip), "white")
    picture.paste(Image.fromarray(pixels[..., ::-1]), (0, 0))
    draw = ImageDraw.Draw(picture)
    x, baseline = float(_MARGIN_PX), height + ascent + _MARGIN_PX // 2
    for run in runs:
        draw.text((x, baseline), run.text, fill="black", font=run.font, anchor="ls", direction=run.direction)
        x += run.width
    return picture


def _caption_width(runs: list[_Run]) -> int:
    return 2 * _MARGIN_PX + math.ceil(sum(run.width for run in runs))


def _runs(caption: str, size: int) -> list[_Run]:
    """Cut the caption, given in logical order, into runs from left to right; a space stays in the run before it.

    Raqm shapes Arabic and Indic letters, each run in its direction. Without Raqm letters stand unjoined, but in order.
    """
    from bidi.algorithm import get_display  # noqa: PLC0415 - only pictures and Arabic models need it
    from PIL import features  # noqa: PLC0415

    shaped = features.check("raqm")
    if any(_font_name(character) == _ARABIC_FONT for character in caption):
        caption = str(get_display(caption))
    names = [_font_name(character) for character in caption]
    for position in range(1, len(names)):
        if caption[position] == " ":
            names[position] = names[position - 1]
    runs = []
    for name, pairs in itertools.groupby(zip(caption, names, strict=True), key=lambda pair: pair[1]):
        text = "".join(character for character, _ in pairs)
        direction = ("rtl" if name == _ARABIC_FONT else "ltr") if shaped else None
        if direction == "rtl":
            text = str(get_display(text, base_dir="R"))  # Raqm wants the logical order and turns it round
        runs.append(_Run(text, _font(name, size), direction))
    return runs


def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    override = _font_of_the_environment()
    if override is None:
        return _shipped_font(name, size)
    from PIL import ImageFont  # noqa: PLC0415

    variable, path = override
    try:
        return ImageFont.truetype(path, size)
    except OSError as error:
        raise OptionError(variable, f"received {str(path)!r}, which cannot be read as a font: {error}") from error


@lru_cache(maxsize=64)
def _shipped_font(name: str, size: int) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont  # noqa: PLC0415

    with resources.as_file(resources.files("ocrhpi") / "fonts" / name) as path:
        return ImageFont.truetype(path, size)


def _font_name(character: str) -> str:
    code = ord(character)
    return next((name for first, last, name in _SCRIPT_FONTS if first <= code <= last), _DEFAULT_FONT)


def _font_of_the_environment() -> tuple[str, Path] | None:
    for variable in FONT_VARIABLES:
        value = os.environ.get(variable)
        if value:
            if not Path(value).is_file():
                raise OptionError(variable, f"received {value!r}, which is not a file; expected a font file")
            return variable, Path(value)
    return None
