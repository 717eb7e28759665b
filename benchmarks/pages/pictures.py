"""Pages: lines put under and beside each other on white paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks.peers.rendering import render_lines
from ocrhpi.recognition.inputs import read_lines
from ocrhpi.values import LineImage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ocrhpi.values import Pixels

__all__ = ["compose_page", "make_pages"]

_WIDTH = 1000
_GAP = 24
_MIN_HEIGHT = 32  # smaller lines are enlarged: detection misses them, and pages have none


def make_pages(folder: Path, count: int, rendered_lines: int, seed: int = 0) -> dict[str, Pixels]:
    """Return name -> page: ``count`` pages of the lines in ``folder``, dealt out in turn, and one of rendered lines."""
    lines = [line.pixels for line in read_lines(folder) if isinstance(line, LineImage)]
    pages = {f"lines_{number}": compose_page(lines[number::count]) for number in range(count)}
    if rendered_lines:
        pages["rendered"] = compose_page(render_lines(rendered_lines, seed)[0])
    return pages


def compose_page(lines: Sequence[Pixels]) -> Pixels:
    """Put lines on a page of 1,000 pixels width, from left to right and down."""
    placed = list(_places([_fitted(line) for line in lines]))
    height = max((top + line.shape[0] for top, _, line in placed), default=0) + _GAP
    page = np.full((height, _WIDTH, 3), 255, np.uint8)
    for top, left, line in placed:
        page[top : top + line.shape[0], left : left + line.shape[1]] = line
    return page


def _places(lines: Sequence[Pixels]) -> Iterator[tuple[int, int, Pixels]]:
    top = left = _GAP
    tallest = 0
    for line in lines:
        height, width = line.shape[:2]
        if left + width + _GAP > _WIDTH and left > _GAP:
            top, left, tallest = top + tallest + _GAP, _GAP, 0
        yield top, left, line
        left, tallest = left + width + _GAP, max(tallest, height)


def _fitted(line: Pixels) -> Pixels:
    height, width = line.shape[:2]
    scale = min(max(1.0, _MIN_HEIGHT / height), (_WIDTH - 2 * _GAP) / width)
    if scale == 1:
        return line
    size = max(1, int(width * scale)), max(1, int(height * scale))
    resized = cv2.resize(line, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)
