"""How much of a published network is built: all of it, or a small relative with the same structure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "SMALL", "Scale"]

_CHANNEL_STEP = 8


@dataclass(frozen=True)
class Scale:
    """The size of a network relative to the published one.

    Attributes:
        divisor: What the published widths are divided by.
        most_repeats: How often identical neighbours are built at most; None builds all of them.
    """

    divisor: int = 1
    most_repeats: int | None = None

    def channels(self, published: int) -> int:
        """Return the width to build instead of ``published``; a small one is a multiple of eight."""
        if self.divisor == 1:
            return published
        return max(1, round(published / self.divisor / _CHANNEL_STEP)) * _CHANNEL_STEP

    def repeats(self, published: int) -> int:
        """Return how many identical neighbours to build instead of ``published``."""
        return published if self.most_repeats is None else min(published, self.most_repeats)


FULL = Scale()
SMALL = Scale(divisor=8, most_repeats=1)
