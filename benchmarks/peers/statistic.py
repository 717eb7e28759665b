"""Medians, and how sure they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_RESAMPLES = 2000
_LOW, _HIGH = 2.5, 97.5


@dataclass(frozen=True)
class Ratio:
    """The median of the ratios of single rounds, and its bootstrap 95 % interval."""

    median: float
    low: float
    high: float
    rounds: int

    def __str__(self) -> str:
        if self.rounds == 1:
            return f"{self.median:.2f}x (one round)"
        return f"{self.median:.2f}x (95 % {self.low:.2f} to {self.high:.2f})"


def paired_ratio(numerators: Sequence[float], denominators: Sequence[float], seed: int = 0) -> Ratio:
    """Return the ratio of two systems timed in the same rounds.

    Ratios are taken within a round, where both met the same machine, so that its drift falls out.
    """
    ratios = np.array([a / b for a, b in zip(numerators, denominators, strict=True)])
    chance = np.random.default_rng(seed)
    medians = np.median(chance.choice(ratios, (_RESAMPLES, len(ratios))), axis=1)
    low, high = np.percentile(medians, [_LOW, _HIGH])
    return Ratio(float(np.median(ratios)), float(low), float(high), len(ratios))
