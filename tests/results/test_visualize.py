from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import features

from ocrhpi.errors import OptionError
from ocrhpi.results import visualize
from ocrhpi.results.visualize import captioned

if TYPE_CHECKING:
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
    ["正品促销", "Ωραίος καιρός ἀγαθός", "Доброе утро", "素四季探旅 ひらがな", "한국어", "￥10.0 °C ①★—…", "العربية",
     "आज मौसम", "வானிலை", "వాతావరణం", "ಕನ್ನಡ", "การแพทย์", "Tiếng Việt ǐǎɔˋ", "℃℉Å₹½ⅤⅩⅫ"],
)  # fmt: skip
def test_no_script_of_the_catalogue_is_drawn_as_boxes_or_blanks(text: str) -> None:
    box = np.asarray(captioned(line(), "\U000e0001"))  # a code point that no font has
    for character in set(text) - {" "}:
        one = captioned(line(), character)
        assert ink(one, 32) > 0, f"{character!r} is blank in its font"
        assert not np.array_equal(np.asarray(one), box), f"{character!r} is not in its font"


def columns_of_ink(caption: str) -> list[int]:
    strip = np.asarray(captioned(line(), caption).convert("L"))[32:]
    return [int(column) for column in np.flatnonzero((strip < 128).any(axis=0))]


@pytest.mark.skipif(not features.check("raqm"), reason="joins and turns Arabic letters")
def test_arabic_starts_at_the_right_and_is_joined() -> None:
    # Two letters that tell the ends apart: an alef is one narrow stroke, a seen is wide.
    alef, seen = columns_of_ink("\u0627"), columns_of_ink("\u0633")
    assert len(seen) > 2 * len(alef)
    drawn = columns_of_ink("\u0633\u0627")  # seen first: it stands, joined, to the right of the alef
    gaps = [right - left for left, right in itertools.pairwise(drawn)]
    assert max(gaps) == 1, "the letters are joined"
    turned = columns_of_ink("\u0627\u0633")  # alef first: it stands, never joined to the left, at the right
    assert max(b - a for a, b in itertools.pairwise(turned)) > 1


def test_arabic_is_in_visual_order_without_raqm(monkeypatch: pytest.MonkeyPatch) -> None:
    logical = "\u0627\u0628 12 abc"
    shaped = [(run.text, run.direction) for run in visualize._runs(logical, 20)]
    assert shaped == [("abc 12 ", "ltr"), ("\u0627\u0628", "rtl")] or not features.check("raqm")
    monkeypatch.setattr(features, "check", lambda _: False)
    assert [(run.text, run.direction) for run in visualize._runs(logical, 20)] == [
        ("abc 12 ", None),
        ("\u0628\u0627", None),
    ]


@pytest.mark.parametrize("text", ["ಕೃ ಕ್ಷ್ಮಿ", "ผู้ปู่ ญี่ปุ่น", "مُحَمَّدٌ لِلَّهِ يٍ", "తృ క్ష్మ్యా", "ẤỆ Ǻ gjp"])
@pytest.mark.parametrize("width", [60, 700, 3000])
def test_tall_letters_touch_neither_the_line_nor_the_edge(text: str, width: int) -> None:
    white = np.full((20, width, 3), 255, np.uint8)
    picture = np.asarray(captioned(white, text).convert("L"))
    assert (picture[:21] == 255).all()
    assert (picture[-1:] == 255).all()
    assert (picture[:, -1:] == 255).all()


def test_a_caption_is_one_line() -> None:
    assert captioned(line(), "a\nb\u2028c\t").size == captioned(line(), "a b c ").size


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


def test_a_font_of_the_environment_that_is_no_font(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bad.ttf").write_bytes(b"no font")
    monkeypatch.setenv("PADDLE_PDX_LOCAL_FONT_FILE_PATH", str(tmp_path / "bad.ttf"))
    with pytest.raises(OptionError, match=r"PADDLE_PDX_LOCAL_FONT_FILE_PATH.*cannot be read as a font"):
        captioned(line(), "x")


def test_a_font_of_the_environment_draws_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    thai = Path(visualize.__file__).parents[1] / "fonts" / "NotoSansThai-Regular.ttf"
    usual = np.asarray(captioned(line(), "abc"))
    monkeypatch.setenv("OCRHPI_FONT", str(thai))
    monkeypatch.setenv("PADDLE_PDX_LOCAL_FONT_FILE_PATH", "not looked at")
    assert not np.array_equal(np.asarray(captioned(line(), "abc")), usual)


def test_the_fonts_are_those_of_the_readme() -> None:
    folder = Path(visualize.__file__).parents[1] / "fonts"
    readme = (folder / "README.md").read_text("utf-8")
    fonts = [path for path in folder.iterdir() if path.suffix in {".ttf", ".ttc"}]
    assert {path.name for path in fonts} >= {font for _, _, font in visualize._SCRIPT_FONTS} | {visualize._DEFAULT_FONT}
    for path in fonts:
        assert f"| {path.name} |" in readme
        assert hashlib.sha256(path.read_bytes()).hexdigest() in readme
