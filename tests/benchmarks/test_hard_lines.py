"""The hard lines, but for their fonts, which a test machine may not have."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
import pytest
from PIL import ImageFont

from benchmarks.hard_lines.damage import FINER, damage, pick_height
from benchmarks.hard_lines.drawing import draw
from benchmarks.hard_lines.fonts import Fonts, MissingFonts
from benchmarks.hard_lines.lines import hard_lines, read_material

if TYPE_CHECKING:
    from pathlib import Path

MATERIAL = read_material()


class OneFont:
    """Pillow's own font in place of all; it writes Latin letters."""

    def load(self, name: str, size: int) -> ImageFont.FreeTypeFont:
        del name
        return cast("ImageFont.FreeTypeFont", ImageFont.load_default(size))

    def can_write(self, name: str, character: str) -> bool:
        del name
        return character.isascii()


def test_lines_follow_from_the_seed() -> None:
    fonts = cast("Fonts", OneFont())
    first, again = (list(hard_lines(12, 3, fonts, MATERIAL)) for _ in range(2))
    assert first == again
    assert list(islice(hard_lines(40, 3, fonts, MATERIAL), 12)) == first
    assert [line.text for line in hard_lines(12, 4, fonts, MATERIAL)] != [line.text for line in first]
    assert len({line.text for line in first}) == 12
    assert not any(set("{}#^@") & set(line.text) for line in first if line.kind != "codes")


def test_a_line_is_damaged_and_still_there() -> None:
    rng = np.random.default_rng(0)
    height = pick_height(MATERIAL["damage"], rng)
    ink = draw("hesitation", cast("ImageFont.FreeTypeFont", ImageFont.load_default(40)), FINER * height, rng)
    assert ink.shape[0] == FINER * height
    assert 0.02 < ink.mean() < 0.6
    images = [
        cv2.imdecode(np.frombuffer(damage(ink, MATERIAL["damage"], rng), np.uint8), cv2.IMREAD_COLOR) for _ in range(20)
    ]
    assert all(image is not None and image.std() > 2 for image in images)
    assert len({image.tobytes() for image in images if image is not None}) == 20


def test_missing_fonts_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(MissingFonts, match="apt-get install fonts-dejavu-core fonts-liberation2"):
        Fonts(tmp_path, MATERIAL["packages"])


def test_every_font_that_is_used_is_in_a_package() -> None:
    packaged = {file for files in MATERIAL["packages"].values() for file in files}
    used = {font.partition(":")[0] for fonts in MATERIAL["fonts"].values() for font in fonts}
    assert used == packaged
