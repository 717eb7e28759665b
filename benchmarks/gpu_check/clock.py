"""Time that runs out: a step gets what is left, and is not begun where too little is."""

from __future__ import annotations

import time

__all__ = ["Clock"]


class Clock:
    """Counts down.

    Args:
        seconds: From now.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds left, at least 0."""
        return max(0.0, self._end - time.monotonic())

    def part(self, share: float = 1.0, most: float = float("inf")) -> Clock:
        """Return a clock of this share of what is left, and of no more than ``most`` seconds."""
        return Clock(min(share * self.left, most))
