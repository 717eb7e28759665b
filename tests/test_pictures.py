from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ocrhpi.errors import OptionError
from ocrhpi.pictures import captioned

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image


def line(height: int = 32, width: int = 200) -> np.ndarray:
    return np.full((height, width, 3), (0, 0, 255), np.uint8)  # red, in BGR


def ink(picture: Image.Image, height: int) -> int:
    """Dark pixels of the caption strip."""
    strip = np.asarray(picture.convert("L"))[height:]
    return int((strip < 128).sum())


@pytest.mark.parametrize(("height", "width"), [(32, 200), (12, 12), (40, 3), (1, 1), (300, 40), (48, 3000), (4, 20000)])
def test_the_line_stands_above_a_legible_caption(height: int, width: int) -> None:
    picture = captioned(line(height, width), "text (0.9876)")
    assert picture.mode == "RGB"
    assert picture.width >= width
    assert picture.height >= height + 14
    assert picture.getpixel((0, 0)) == (255, 0, 0)
    assert ink(picture, height) > 100


@pytest.mark.parametrize(
    "text",
    ["正品促销", "Ωραίος καιρός", "Доброе утро", "素四季探旅 ひらがな", "한국어", "￥10.0 °C ①★—…", "العربية",
     "आज मौसम", "வானிலை", "వాతావరణం", "ಕನ್ನಡ", "การแพทย์"],
)  # fmt: skip
def test_no_script_of_the_catalogue_is_drawn_as_boxes(text: str) -> None:
    missing = captioned(line(), "\U000e0001" * len(text))  # a code point that no font has
    drawn = captioned(line(), text)
    assert ink(drawn, 32) > 50
    for character in set(text) - {" "}:
        one = np.asarray(captioned(line(), character))
        box = np.asarray(captioned(line(), "\U000e0001"))
        assert one.shape != box.shape or not np.array_equal(one, box), f"{character!r} is not in its font"
    assert missing.size[1] == drawn.size[1]


def test_mixed_scripts_fit_their_picture() -> None:
    picture = captioned(line(32, 60), "Latin ไทย 中文 العربية (0.5000)")
    strip = np.asarray(picture.convert("L"))[32:]
    assert (strip[:, -2:] > 200).all(), "the caption ends before the right edge"
    assert (strip[-2:] > 200).all()


def test_a_long_caption_shrinks_before_the_picture_widens() -> None:
    short, long = captioned(line(32, 900), "x"), captioned(line(32, 900), "x" * 60)
    assert short.width == long.width == 900
    assert long.height < short.height


def test_the_font_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OCRHPI_FONT", str(tmp_path / "none.ttf"))
    with pytest.raises(OptionError, match=r"OCRHPI_FONT.*none\.ttf"):
        captioned(line(), "x")
