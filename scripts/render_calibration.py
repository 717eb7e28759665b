#!/usr/bin/env python3
"""Render the calibration lines that ocrhpi ships: ocrhpi/tuning/data/lines.zip.

Needs an installed ocrhpi, Pillow with Raqm (its wheels have it; complex scripts are shaped by it), and the fonts of
the Debian packages named in render_calibration.yaml, unpacked anywhere, as by
``apt-get download fonts-dejavu-core`` and ``dpkg-deb -x fonts-dejavu-core_*.deb FOLDER``. Nothing else decides what
is drawn: the same fonts and libraries give the same bytes. Versions used: ocrhpi/tuning/data/README.md.

    scripts/render_calibration.py --fonts FOLDER [--out lines.zip]
"""

from __future__ import annotations

import argparse
import bisect
import colorsys
import io
import re
import sys
import unicodedata
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np
import yaml
from PIL import Image, ImageDraw, ImageFont, features

from ocrhpi.recognition.decoding import decode_image
from ocrhpi.recognition.geometry import line_geometry
from ocrhpi.values import InputSpec

if TYPE_CHECKING:
    import numpy.typing as npt

    from ocrhpi.values import Pixels

    Floats: TypeAlias = npt.NDArray[np.floating[Any]]

_HERE = Path(__file__).resolve().parent
_OUT = _HERE.parent / "ocrhpi" / "tuning" / "data" / "lines.zip"
_SEED = 23  # one with which PP-OCRv4_mobile_rec loses no line entirely: such a line would outweigh many others
_SPEC = InputSpec()
RANGE_EDGES = (320, 640, 1280)  # largest exact widths in pixels of the width ranges; the last has no end
_LOWEST = 60  # width in pixels, at the network's height, of the shortest lines
_HIGHEST = 2600
_ATTEMPTS = 500
_WEBP_QUALITY = 86  # keeps the noise
_DIFFICULTIES = {  # how often each is dealt
    "plain": 3,
    "tinted": 2,
    "inverted": 2,
    "faint": 2,
    "noisy": 2,
    "blurred": 2,
    "skewed": 2,
    "crushed": 2,
    "small": 1,
    "shaded": 1,
    "worn": 2,
}
_GROUPS = ("latin", "chinese", "other")
_BENT = {"skewed": 0.12, "worn": 0.06}  # how far corners move, as a share of the height
_NO_GLYPH = "\U0010fffe"


@dataclass(frozen=True)
class Plan:
    """What one line is to be: script, width range, difficulty."""

    script: str
    group: str
    width_range: int
    difficulty: str


@dataclass(frozen=True)
class Line:
    """One finished line."""

    plan: Plan
    text: str
    image: bytes


class Fonts:
    """The fonts below a folder, by file name.

    Args:
        folder: Where the Debian packages are unpacked.
        packages: Package -> file names.
    """

    def __init__(self, folder: Path, packages: dict[str, list[str]]) -> None:
        found = {path.name: path for path in sorted(folder.rglob("*.tt[fc]"))}
        missing = [
            f"{name} (Debian package {package})"
            for package, names in packages.items()
            for name in names
            if name not in found
        ]
        if missing:
            sys.exit(f"not below {folder}: {', '.join(missing)}")
        self._found = found

    def load(self, name: str, size: int) -> ImageFont.FreeTypeFont:
        """Return a face; ``name`` is a file name and, for collections, ``:number``."""
        file, _, face = name.partition(":")
        return ImageFont.truetype(self._found[file], size, int(face or 0), layout_engine=ImageFont.Layout.RAQM)


def main() -> None:
    """Render all lines and write the archive."""
    parser = argparse.ArgumentParser(description="Render the calibration lines that ocrhpi ships.")
    parser.add_argument("--fonts", type=Path, required=True, help="folder with the unpacked Debian packages")
    parser.add_argument("--out", type=Path, default=_OUT, help="archive to write")
    arguments = parser.parse_args()
    if not features.check("raqm"):
        sys.exit("this Pillow cannot shape complex scripts; install its wheel, which contains Raqm")
    material = yaml.safe_load((_HERE / "render_calibration.yaml").read_text("utf-8"))
    fonts = Fonts(arguments.fonts, material["packages"])
    texts: set[str] = set()
    widths: set[int] = set()
    lines = [_line(number, plan, material, fonts, texts, widths) for number, plan in enumerate(_plans(material))]
    arguments.out.write_bytes(_archive(_representative(lines)))
    sys.stdout.write(f"{len(lines)} lines, {arguments.out.stat().st_size} bytes in {arguments.out}\n")


def _plans(material: dict[str, Any]) -> list[Plan]:
    """Return what each line is to be; difficulties in the same shares for every group of scripts and width range."""
    deal = [difficulty for difficulty, times in _DIFFICULTIES.items() for _ in range(times)]
    dealt: Counter[tuple[str, int]] = Counter()
    plans = []
    for script, kind in material["scripts"].items():
        group = script if script in _GROUPS else _GROUPS[-1]
        for width_range, count in enumerate(kind["lines"]):
            order = np.random.default_rng([_SEED, _GROUPS.index(group), width_range]).permutation(len(deal))
            for _ in range(count):
                turn = dealt[group, width_range] % len(deal)
                plans.append(Plan(script, group, width_range, deal[order[turn]]))
                dealt[group, width_range] += 1
    return plans


def _line(number: int, plan: Plan, material: dict[str, Any], fonts: Fonts, texts: set[str], widths: set[int]) -> Line:
    """Render the line that was planned, of a text and (if wider than the least) a width that no other line has."""
    kind = material["scripts"][plan.script]
    rng = np.random.default_rng([_SEED, number])
    low, high = (_LOWEST, *RANGE_EDGES)[plan.width_range] + 1, (*RANGE_EDGES, _HIGHEST)[plan.width_range]
    for _ in range(_ATTEMPTS):
        target = rng.uniform(low + (high - low) * 0.1, high)
        ink, text = _text_mask(kind, plan, target, fonts, rng)
        natural = ink.shape[1] / ink.shape[0] * _SPEC.height
        exact = line_geometry(ink.shape[1], ink.shape[0], _SPEC).padded_width
        if (
            low <= natural <= high
            and text not in texts
            and bisect.bisect_left(RANGE_EDGES, exact) == plan.width_range
            and (exact not in widths or exact == _SPEC.base_width)
        ):
            texts.add(text)
            widths.add(exact)
            return Line(plan, text, _drawn(ink, plan.difficulty, rng))
    sys.exit(f"no text of {plan.script} fits width range {plan.width_range}; write longer or shorter ones")


def _text_mask(
    kind: dict[str, Any], plan: Plan, target: float, fonts: Fonts, rng: np.random.Generator
) -> tuple[Pixels, str]:
    """Return how much ink (0 to 255) is where, and the text; about ``target`` wide at the network's height."""
    height = _height(plan, rng)
    size = rng.uniform(0.56, 0.68) if plan.difficulty in _BENT else rng.uniform(0.6, 0.82)
    font = fonts.load(_pick(kind["fonts"], rng), round(height * size))
    direction = kind.get("direction", "ltr")
    margins = rng.uniform(0.06, 0.2, 2) * height
    room = target * height / _SPEC.height - margins.sum()
    parts = [_filled("{line}", kind["texts"], rng)]
    while plan.width_range and font.getlength(kind["joint"].join(parts), direction) < room * 0.8:
        part = _filled("{line}", kind["texts"], rng)
        parts += [part] if part not in parts else []
    text = unicodedata.normalize("NFC", kind["joint"].join(parts))
    _check_glyphs(text, font)
    left, top, right, bottom = font.getbbox(text, direction=direction)
    while bottom - top > height * (1 - 2 * _BENT.get(plan.difficulty, 0)) - 2:
        font = font.font_variant(size=font.size - 1)
        left, top, right, bottom = font.getbbox(text, direction=direction)
    width = round(right - left + margins.sum())
    image = Image.new("L", (width, height))
    free = height - (bottom - top)
    place = (margins[0] - left, free * rng.uniform(0.35, 0.65) - top)
    ImageDraw.Draw(image).text(place, text, fill=255, font=font, direction=direction)
    return np.asarray(image), text


def _height(plan: Plan, rng: np.random.Generator) -> int:
    """Return the height of the image; the longest lines are kept low, as their bytes are many."""
    if plan.difficulty == "small":
        return int(rng.integers(20, 24))
    return int(rng.integers(24, 37 if plan.width_range == len(RANGE_EDGES) else 65))


def _pick(choices: list[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def _filled(pattern: str, lists: dict[str, list[str]], rng: np.random.Generator) -> str:
    """Put list entries, digits and capitals in the place of {name}, # and ^."""
    while "{" in pattern:
        pattern = re.sub(r"\{(\w+)\}", lambda match: _pick(lists[match[1]], rng), pattern)
    pattern = re.sub("#", lambda _: str(rng.integers(10)), pattern)
    return re.sub(r"\^", lambda _: _pick(list("ABCDEFGHJKLMNPQRSTUVWXYZ"), rng), pattern)


def _check_glyphs(text: str, font: ImageFont.FreeTypeFont) -> None:
    box = bytes(font.getmask(_NO_GLYPH))
    for character in set(text) - {" "}:
        if bytes(font.getmask(character)) == box:
            sys.exit(f"{font.getname()} has no {character!r} (U+{ord(character):04X})")


def _drawn(ink: Pixels, difficulty: str, rng: np.random.Generator) -> bytes:
    """Colour the ink and its paper, make it as hard to read as asked, and encode it."""
    amount = ink.astype(np.float32)
    if difficulty in _BENT:
        amount = _bent(amount, _BENT[difficulty], rng)
    if difficulty in {"blurred", "worn"}:
        amount = _blurred(amount, rng.uniform(0.022, 0.032) if difficulty == "blurred" else 0.02)
    paper, pen = _colours(difficulty, rng)
    share = amount[..., None] / 255
    image = paper * (1 - share) + pen * share
    if difficulty in {"shaded", "worn"}:
        image = image * _light(ink.shape[1], rng)
    sigma = {"noisy": rng.uniform(22, 38), "worn": 7, "faint": 3, "blurred": 3, "plain": 1}.get(difficulty, 2)
    image = image + rng.normal(0, sigma, (*ink.shape, 1)) + rng.normal(0, sigma / 3, image.shape)
    pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    if difficulty in {"crushed", "worn"}:
        quality = int(rng.integers(4, 10)) if difficulty == "crushed" else 30
        pixels = decode_image(_encoded(".jpg", pixels, cv2.IMWRITE_JPEG_QUALITY, quality), "JPEG", pixels.size)
    return _encoded(".webp", pixels, cv2.IMWRITE_WEBP_QUALITY, _WEBP_QUALITY)


def _encoded(suffix: str, pixels: Pixels, *option: int) -> bytes:
    done, data = cv2.imencode(suffix, pixels, option)
    if not done:
        sys.exit(f"OpenCV cannot write {suffix}")
    return data.tobytes()


def _colours(difficulty: str, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return paper and pen, BGR."""
    if difficulty == "tinted":
        return _tint(0.25, 0.6, 0.7, 1.0, rng), _tint(0.4, 1.0, 0.1, 0.35, rng)
    if difficulty == "inverted":
        return _tint(0.3, 1.0, 0.1, 0.45, rng), _tint(0.0, 0.3, 0.85, 1.0, rng)
    if difficulty in {"faint", "worn"}:
        middle, gap = rng.uniform(110, 190), rng.uniform(20, 36) * (1 if difficulty == "faint" else 3)
        return np.full(3, middle + gap / 2), np.full(3, middle - gap / 2)
    return np.full(3, rng.uniform(215, 255)), np.full(3, rng.uniform(0, 90))


def _tint(least: float, most: float, dark: float, bright: float, rng: np.random.Generator) -> Floats:
    """Return a colour, BGR, of a saturation and value between those given."""
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(least, most), rng.uniform(dark, bright))
    return np.array([blue, green, red]) * 255


def _bent(amount: Floats, most: float, rng: np.random.Generator) -> Floats:
    """Move each corner up or down by up to ``most`` of the height, and sideways by half of that."""
    height, width = amount.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = corners + rng.uniform(-1, 1, (4, 2)) * (most / 2 * height, most * height)
    change = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    return np.asarray(cv2.warpPerspective(amount, change, (width, height)), np.float32)


def _blurred(amount: Floats, share: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(amount, (0, 0), max(share * amount.shape[0], 0.5)), np.float32)


def _light(width: int, rng: np.random.Generator) -> Floats:
    """Return the brightness of each column: a shadow that falls across the line."""
    middle, reach = rng.uniform(0.2, 0.8) * width, rng.uniform(0.1, 0.4) * width
    shadow = 1 / (1 + np.exp((np.arange(width) - middle) / reach * 4))
    return np.asarray(1 - rng.uniform(0.4, 0.65) * shadow)[None, :, None]


def _representative(lines: list[Line]) -> list[Line]:
    """Order the lines so that ranges, groups, scripts and difficulties are in the same shares in every beginning."""
    traits = [(plan.width_range, plan.group, plan.script, plan.difficulty) for plan in (line.plan for line in lines)]
    totals = [Counter(column) for column in zip(*traits, strict=True)]
    taken: list[Counter[Any]] = [Counter() for _ in totals]
    left = list(range(len(lines)))
    ordered: list[Line] = []
    while left:
        share = (len(ordered) + 1) / len(lines)
        best = max(left, key=lambda number: _lack(traits[number], share, totals, taken))
        left.remove(best)
        ordered.append(lines[best])
        for trait, have in zip(traits[best], taken, strict=True):
            have[trait] += 1
    return ordered


def _lack(traits: tuple[Any, ...], share: float, totals: list[Counter[Any]], taken: list[Counter[Any]]) -> float:
    """Return how far the traits of a line are behind their shares among the lines taken."""
    return sum(
        float((total[trait] * share - have[trait]) / total[trait] ** 0.5)
        for trait, total, have in zip(traits, totals, taken, strict=True)
    )


def _archive(lines: list[Line]) -> bytes:
    """Return the zip file; entries are stored, since the images are compressed already, and bear no time."""
    index = ["name\ttext\tscript\tdifficulty"]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        files = {}
        for number, line in enumerate(lines, start=1):
            name = f"{number:03}-{line.plan.script}-{line.plan.difficulty}.webp"
            index.append(f"{name}\t{line.text}\t{line.plan.script}\t{line.plan.difficulty}")
            files[name] = line.image
        for name, data in {"index.tsv": ("\n".join(index) + "\n").encode(), **files}.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, wherever this runs
            archive.writestr(entry, data)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
