"""Lines as they come in use: nearly every line wider than the base width has a width that was never seen before.

Engines compile for each shape that they meet, so what is timed on a few shapes that are all warm says little about the
thousands of lines that follow (docs/decisions/0023-the-choice-on-a-stream.md).
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import cv2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.values import Pixels

NARROWER, WIDER = 0.8, 1.25
"""Lines are stretched in width by a random factor between these."""

SHORTEST, LONGEST = 0.12, 0.6
"""A piece of a line is between so many times its width."""


class LineStream:
    """A stream without end, made of a few lines; the same for the same seed, whatever part of it is asked for.

    The lines come again and again, each time in another order and stretched in width by other random factors, so that
    the mix of widths stays theirs.

    Args:
        lines: What it is made of, (height, width, 3), uint8 each.
        recurring: Numbers of the lines whose width is kept, since it recurs in use, too.
        pieces: Share of the lines of which a piece is cut out at random each time, as long as a word or two.
        seed: Of order, factors and pieces.
    """

    def __init__(
        self, lines: Sequence[Pixels], *, recurring: Sequence[int] = (), pieces: float = 0.0, seed: int = 0
    ) -> None:
        if not lines:
            raise ValueError("a stream needs at least one line")
        self._lines = lines
        self._recurring = frozenset(recurring)
        self._pieces = pieces
        self._seed = seed

    def part(self, start: int, stop: int) -> list[Pixels]:
        """Return the lines from ``start`` to ``stop``, counted from 0."""
        count = len(self._lines)
        made: list[Pixels] = []
        for turn in range(start // count, -(-stop // count)):
            rng = random.Random(f"{self._seed}/{turn}")  # noqa: S311 - not for secrets
            order = rng.sample(range(count), count)
            factors = [rng.uniform(NARROWER, WIDER) for _ in order]
            cuts = [self._cut(rng) for _ in order] if self._pieces else [(0.0, 1.0)] * count
            first = max(start - turn * count, 0)
            for place in range(first, min(stop - turn * count, count)):
                line = _piece(self._lines[order[place]], *cuts[place])
                made.append(line if order[place] in self._recurring else stretched(line, factors[place]))
        return made

    def _cut(self, rng: random.Random) -> tuple[float, float]:
        """Return where a piece begins and ends, from 0 to 1; of most lines it is the whole."""
        share, length, begin = rng.random(), rng.uniform(SHORTEST, LONGEST), rng.random()
        if share >= self._pieces:
            return 0.0, 1.0
        return begin * (1 - length), begin * (1 - length) + length


def _piece(line: Pixels, begin: float, end: float) -> Pixels:
    width = line.shape[1]
    first = int(begin * width)
    return line[:, first : max(first + 1, round(end * width))]


def stretched(line: Pixels, factor: float) -> Pixels:
    """Return the line ``factor`` times as wide, at least one pixel, and as high as it was."""
    height, width = line.shape[:2]
    resized: Pixels = cv2.resize(line, (max(1, round(factor * width)), height)).astype(line.dtype, copy=False)
    return resized


def recurring_widths(widths: Sequence[int]) -> list[int]:
    """Return the numbers of the lines whose width another line has, too."""
    counts = Counter(widths)
    return [number for number, width in enumerate(widths) if counts[width] > 1]
