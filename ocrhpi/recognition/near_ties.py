"""By which margin of probability a line would have read as another text.

Rounding to a low precision shifts probabilities a little, so it can change the class of a time step only at a near-tie:
where another class is nearly as probable. Most of these steps lie at the border of a character, where blank and
character make the same text: of two precisions one emits it a step earlier. So a line is in doubt only if some choice
among the near-ties makes another text than the best path does.
"""

from __future__ import annotations

import math
from itertools import groupby, product
from typing import TYPE_CHECKING

from ocrhpi.recognition.ctc import BLANK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ocrhpi.values import Emissions, NearTies

SURE = 1.0
"""Margin of a line of which no near-tie gives another text."""

_MAX_PATHS = 1024  # through a stretch of hesitant steps; one of more is taken to be in doubt
_OUTSIDE = -1  # the class before the first time step and after the last


def text_margins(emissions: Emissions) -> list[float]:
    """Return of each of the N lines the least margin m such that near-ties within m make another text.

    `SURE` if there is none among the near-ties that were looked for. Where none were looked for, the lower bound
    min(2 p - 1) over the time steps: the second class has at most what the first one leaves.
    """
    steps = [emissions.indices.shape[1]] * len(emissions.indices)
    if emissions.steps is not None:
        steps = emissions.steps.tolist()
    if emissions.near_ties is None:
        return [
            2 * float(line[:count].min(initial=1.0)) - 1 for line, count in zip(emissions.probs, steps, strict=True)
        ]
    margins = [SURE] * len(steps)
    for row, start, stop in _stretches(emissions.near_ties.rows.tolist()):
        line = emissions.indices[row, : steps[row]].tolist()
        margins[row] = _text_margin(line, _near_ties_of(emissions.near_ties, start, stop, steps[row]))
    return margins


def _stretches(rows: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield each row with the part of the ascending ``rows`` that is its own."""
    start = 0
    for row, members in groupby(rows):
        stop = start + sum(1 for _ in members)
        yield row, start, stop
        start = stop


def _near_ties_of(near_ties: NearTies, start: int, stop: int, steps: int) -> list[tuple[float, int, int]]:
    """Return margin, step and class of the near-ties of one line, the closest first."""
    parts = (near_ties.margins, near_ties.steps, near_ties.classes)
    found = zip(*(part[start:stop].tolist() for part in parts), strict=True)
    return sorted((margin, step, klass) for margin, step, klass in found if step < steps)


def _text_margin(line: Sequence[int], near_ties: Sequence[tuple[float, int, int]]) -> float:
    """Let the near-ties in one after the other; the text changes by one at the earliest where its own stretch does."""
    choices: dict[int, list[int]] = {}
    for margin, step, klass in near_ties:
        choices.setdefault(step, [line[step]]).append(klass)
        if _changes_text(line, choices, step):
            return margin
    return SURE


def _changes_text(line: Sequence[int], choices: Mapping[int, Sequence[int]], step: int) -> bool:
    """Whether some path through the hesitant steps around ``step`` gives another text than the best one.

    The steps before and after are sure, so what they emit does not depend on the path between, but for the repeats and
    blanks that touch them; they are part of what is compared.
    """
    first = last = step
    while first - 1 in choices:
        first -= 1
    while last + 1 in choices:
        last += 1
    hesitant = [choices[at] for at in range(first, last + 1)]
    if math.prod(map(len, hesitant)) > _MAX_PATHS:
        return True
    before = line[first - 1] if first else _OUTSIDE
    after = line[last + 1] if last + 1 < len(line) else _OUTSIDE
    best = _collapsed((before, *line[first : last + 1], after))
    return any(_collapsed((before, *path, after)) != best for path in product(*hesitant))


def _collapsed(path: Sequence[int]) -> list[int]:
    """Drop repeats, then blanks."""
    return [klass for klass, _ in groupby(path) if klass != BLANK]
