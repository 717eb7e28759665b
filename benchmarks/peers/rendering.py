"""Lines of known text in the fonts that ocrhpi ships, each of another width."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from ocrhpi.values import Pixels

_FONT = "wqy-microhei.ttc"
_HEIGHT = 48
_MIN_WIDTH = 321  # up to 320 a line is padded to 320, the same width for all
_MARGIN = 8
_FONT_SIZES = (24, 34)
_WORDS = """
the of and a to in is you that it he was for on are as with his they at be this have from or one had by word but not
what all were we when your can said there use an each which she do how their if will up other about out many then them
these so some her would make like him into time has look two more write go see number Invoice Total Date Address Street
Customer Payment Order Quantity Price Amount Tax Reference Account
中国 北京 上海 时间 数量 单价 金额 公司 地址 电话 日期 合计 发票 产品 有限 技术 服务 质量 安全 管理
"""


def render_lines(count: int, seed: int) -> tuple[list[Pixels], list[str]]:
    """Return images 48 high of widths 321, 322, ... in random order, and their texts."""
    rng = np.random.default_rng(seed)
    widths = rng.permutation(np.arange(_MIN_WIDTH, _MIN_WIDTH + count))
    with resources.as_file(resources.files("ocrhpi") / "fonts" / _FONT) as path:
        fonts = [ImageFont.truetype(path, size) for size in range(*_FONT_SIZES)]
    drawn = [_render(int(width), fonts[int(rng.integers(len(fonts)))], rng) for width in widths]
    return [image for image, _ in drawn], [text for _, text in drawn]


def _render(width: int, font: ImageFont.FreeTypeFont, rng: np.random.Generator) -> tuple[Pixels, str]:
    text = _fitting_text(width - 2 * _MARGIN, font, rng)
    paper, ink = int(rng.integers(215, 256)), int(rng.integers(0, 90))
    image = Image.new("RGB", (width, _HEIGHT), (paper, paper, paper))
    ImageDraw.Draw(image).text((_MARGIN, _HEIGHT // 2), text, fill=(ink, ink, ink), font=font, anchor="lm")
    noise = rng.normal(0, 4, (_HEIGHT, width, 1))
    return np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8), text


def _fitting_text(room: int, font: ImageFont.FreeTypeFont, rng: np.random.Generator) -> str:
    """Return random words, one in six a number, as many as ``room`` pixels hold."""
    words, text = _WORDS.split(), ""
    while True:
        word = str(rng.integers(10_000)) if rng.random() < 1 / 6 else words[int(rng.integers(len(words)))]
        longer = f"{text} {word}".strip()
        if font.getlength(longer) > room:
            return text
        text = longer
