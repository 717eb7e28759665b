"""The hard lines, one after the other: text, font, drawing, damage; each follows from the seed and its number alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from benchmarks.hard_lines.damage import FINER, damage, pick_height
from benchmarks.hard_lines.drawing import draw
from benchmarks.hard_lines.texts import Texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.hard_lines.fonts import Fonts

__all__ = ["HardLine", "hard_lines", "read_material"]

_ATTEMPTS = 1000


@dataclass(frozen=True)
class HardLine:
    """One line.

    Attributes:
        text: What is written on it.
        kind: Kind of text, as in ``hard_lines.yaml``.
        font: File of its face.
        image: A JPEG.
    """

    text: str
    kind: str
    font: str
    image: bytes


def read_material() -> dict[str, Any]:
    """Return the content of ``hard_lines.yaml``."""
    material: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("hard_lines.yaml").read_text("utf-8"))
    return material


def hard_lines(count: int, seed: int, fonts: Fonts, material: dict[str, Any]) -> Iterator[HardLine]:
    """Yield ``count`` lines of different texts; of more lines with the same seed these are the first ones."""
    texts = Texts(material)
    seen: set[str] = set()
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        kind, text, font = _new_text(texts, seen, fonts, material, rng)
        seen.add(text)
        height = pick_height(material["damage"], rng)
        ink = draw(text, fonts.load(font, FINER * height), FINER * height, rng)
        yield HardLine(text, kind, font, damage(ink, material["damage"], rng))


def _new_text(
    texts: Texts, seen: set[str], fonts: Fonts, material: dict[str, Any], rng: np.random.Generator
) -> tuple[str, str, str]:
    """Return kind, text and font of a line that is not there yet, and that the font can write."""
    for _ in range(_ATTEMPTS):
        kind, text = texts.write(rng)
        choices = material["fonts"][material["kinds"][kind]["fonts"]]
        font = choices[int(rng.integers(len(choices)))]
        if text not in seen and all(fonts.can_write(font, character) for character in set(text)):
            return kind, text, font
    raise ValueError(f"no new text in {_ATTEMPTS} attempts; write more patterns into hard_lines.yaml")
