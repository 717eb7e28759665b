"""What makes a line hard to read: small, bent, blurred, faint, shaded, noisy, compressed, several of these at once."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.hard_lines.drawing import Ink

__all__ = ["FINER", "damage", "pick_height"]

FINER = 2
"""How much finer than the finished image the ink is drawn, bent and blurred."""


def pick_height(how: Mapping[str, Any], rng: np.random.Generator) -> int:
    """Return the height in pixels of a finished image; ``how`` is the section ``damage``."""
    heights = how["height"]
    shares = np.array(heights["shares"]) / sum(heights["shares"])
    low, high = heights[str(rng.choice(["low", "middle", "high"], p=shares))]
    return int(rng.integers(low, high))


def damage(ink: Ink, how: Mapping[str, Any], rng: np.random.Generator) -> bytes:
    """Make an image of the ink that is hard to read.

    Args:
        ink: The line, `FINER` times as high as the image.
        how: The section ``damage`` of ``hard_lines.yaml``: how often each is done, and how far it goes.
        rng: Decides.

    Returns:
        A JPEG.
    """
    ink = _ruled(ink, rng) if _happens(how["rule"], rng) else ink
    ink = _bent(ink, _amount(how["bend"], rng), rng) if _happens(how["bend"], rng) else ink
    ink = _moved(ink, _amount(how["motion"], rng)) if _happens(how["motion"], rng) else ink
    ink = _blurred(ink, _amount(how["blur"], rng)) if _happens(how["blur"], rng) else ink
    ink = _cropped(ink, _amount(how["crop"], rng), rng) if _happens(how["crop"], rng) else ink
    ink = np.asarray(cv2.resize(ink, None, fx=1 / FINER, fy=1 / FINER, interpolation=cv2.INTER_AREA), np.float32)
    paper, pen = _colours(how, rng)
    contrast = float(np.abs(paper - pen).mean())
    image = paper + (pen - paper) * ink[..., None]
    if _happens(how["clutter"], rng):
        image = image + _waves(ink.shape, rng)[..., None] * _amount(how["clutter"], rng) * contrast
    if _happens(how["shade"], rng):
        image = image * _light(ink.shape[1], _amount(how["shade"], rng), rng)
    if _happens(how["noise"], rng):
        sigma = _amount(how["noise"], rng) * contrast
        image = image + rng.normal(0, sigma, (*ink.shape, 1)) + rng.normal(0, sigma / 3, image.shape)
    return _jpeg(np.clip(np.rint(image), 0, 255).astype(np.uint8), _quality(how["jpeg"], contrast, rng))


def _happens(kind: Mapping[str, Any], rng: np.random.Generator) -> bool:
    return bool(rng.random() < kind["chance"])


def _amount(kind: Mapping[str, Any], rng: np.random.Generator) -> float:
    return float(rng.uniform(*kind["range"]))


def _quality(kind: Mapping[str, Any], contrast: float, rng: np.random.Generator) -> int:
    """Return the quality of the JPEG; faint lines are spared the low ones, which would leave nothing of them."""
    low = _happens(kind, rng) and contrast >= kind["least_contrast"]
    return round(_amount(kind, rng) if low else float(rng.uniform(*kind["otherwise"])))


def _ruled(ink: Ink, rng: np.random.Generator) -> Ink:
    """Draw a thin line across, where tables and forms have one."""
    height = ink.shape[0]
    at, thickness = int(rng.uniform(0.55, 0.97) * height), max(1, round(height / 40))
    ruled: Ink = ink.copy()
    ruled[at : at + thickness] = 1
    return ruled


def _bent(ink: Ink, most: float, rng: np.random.Generator) -> Ink:
    """Move each corner by up to ``most`` of the height, as rotation and perspective do."""
    height, width = ink.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = corners + rng.uniform(-1, 1, (4, 2)) * most * height
    change = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    return np.asarray(cv2.warpPerspective(ink, change, (width, height)), np.float32)


def _moved(ink: Ink, share: float) -> Ink:
    """Blur along the line, as a camera that moves does."""
    length = max(2, round(share * ink.shape[0]))
    return np.asarray(cv2.blur(ink, (length, 1)), np.float32)


def _blurred(ink: Ink, share: float) -> Ink:
    return np.asarray(cv2.GaussianBlur(ink, (0, 0), max(share * ink.shape[0], 0.5)), np.float32)


def _cropped(ink: Ink, share: float, rng: np.random.Generator) -> Ink:
    rows = round(share * ink.shape[0])
    return ink[rows:] if rng.random() < 0.5 else ink[: ink.shape[0] - rows]  # noqa: PLR2004 - top or bottom


def _colours(how: Mapping[str, Any], rng: np.random.Generator) -> tuple[Ink, Ink]:
    """Return paper and pen, BGR, 0 to 255, so many levels of brightness apart."""
    faint = how["contrast"]
    levels = rng.uniform(*(faint["range"] if rng.random() < faint["faint"] else faint["otherwise"]))
    dark = rng.uniform(0, 255 - levels)
    colours = [_tint(level, how["tinted"], rng) for level in (dark + levels, dark)]
    if rng.random() < how["inverted"]:
        colours.reverse()
    return colours[0], colours[1]


def _tint(level: float, share: float, rng: np.random.Generator) -> Ink:
    """Return a colour of that brightness, as the mean of its channels; grey, or in ``share`` of all cases not."""
    if rng.random() >= share:
        return np.full(3, level)
    colour = np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.1, 0.5), 1.0))
    return np.asarray(np.minimum(colour / colour.mean() * level, 255))


def _waves(shape: tuple[int, ...], rng: np.random.Generator) -> Ink:
    """Return slow waves between -1 and 1, as of stained paper or a photographed screen."""
    height, width = shape
    coarse = rng.uniform(-1, 1, (3, max(3, round(width / height * 2)))).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _light(width: int, most: float, rng: np.random.Generator) -> Ink:
    """Return the brightness of each column, falling by up to ``most`` towards one side."""
    ramp = np.linspace(0, 1, width) ** rng.uniform(0.5, 2)
    return np.asarray(1 - most * (ramp if rng.random() < 0.5 else ramp[::-1]))[None, :, None]  # noqa: PLR2004


def _jpeg(image: np.ndarray, quality: int) -> bytes:
    done, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
    if not done:
        raise OSError("OpenCV could not encode a JPEG")
    return data.tobytes()
