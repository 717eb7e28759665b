"""How fast lines are read, and so how long a full queue takes."""

from __future__ import annotations

import math

_WEIGHT = 0.1  # of the last batch: the memory is about ten batches
_LONGEST_S = 600


class LineRate:
    """A moving average of the time that a line takes, over the batches that were read."""

    def __init__(self) -> None:
        self._line_s: float | None = None
        self._last_end = -math.inf

    def read(self, lines: int, began: float, ended: float) -> None:
        """Take note of a batch; times are those of one clock, in seconds.

        Batches may overlap: what a batch took counts from the end of the one before it.
        """
        line_s = (ended - max(began, self._last_end)) / lines
        self._last_end = ended
        self._line_s = line_s if self._line_s is None else self._line_s + _WEIGHT * (line_s - self._line_s)

    def wait_s(self, lines: int) -> int:
        """Estimate how long so many lines take, in whole seconds, at least 1."""
        return min(_LONGEST_S, max(1, math.ceil(lines * (self._line_s or 0.0))))
