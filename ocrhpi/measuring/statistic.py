"""Ratios and differences of paired samples, and how sure they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from ocrhpi.options import Options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MARGIN = 0.02
"""A gain of a smaller share than this is none: it is not worth leaving normal mode, or a simpler candidate."""

MIN_ROUNDS = 3
"""In fewer rounds than this nothing is proved."""

_RESAMPLES = 2000
_LOW, _HIGH = 2.5, 97.5

Verdict: TypeAlias = Literal["faster", "slower", "none", "open"]
"""``none``: no difference beyond noise and margin. ``open``: too few rounds to tell."""


class Ratio(Options):
    """The median of the ratios of single rounds, and its bootstrap 95 % interval.

    Attributes:
        median: The median.
        low: Lower end of the interval; the median itself where there is one round.
        high: Upper end of the interval; the median itself where there is one round.
        rounds: Rounds that it is from.
    """

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

    Ratios are taken within a round, where both met the same machine, so that its drift falls out. The interval is the
    percentile bootstrap of the median of these ratios: rounds are drawn with replacement, 2000 times.

    Args:
        numerators: Times of the one, a round each.
        denominators: Times of the other in the same rounds; none is 0.
        seed: Of the draws; equal samples have equal intervals.

    Raises:
        ValueError: There are no rounds, or not equally many of both.
    """
    ratios = np.array([a / b for a, b in zip(numerators, denominators, strict=True)])
    if not ratios.size:
        raise ValueError("a ratio needs at least one round")
    rng = np.random.default_rng(seed)
    medians = np.median(rng.choice(ratios, (_RESAMPLES, len(ratios))), axis=1)
    low, high = _interval(medians)
    return Ratio(median=float(np.median(ratios)), low=low, high=high, rounds=len(ratios))


def verdict(ratio: Ratio | None, margin: float = 0.0) -> Verdict:
    """Return what a ratio, how many times as fast, proves.

    Args:
        ratio: The ratio; None where nothing can be compared.
        margin: By so much the whole interval must lie away from 1, such as `MARGIN`.
    """
    if ratio is None or ratio.rounds < MIN_ROUNDS:
        return "open"
    return "faster" if ratio.low > 1 + margin else "slower" if ratio.high < 1 / (1 + margin) else "none"


def paired_rate_interval(differences: Sequence[int], sizes: Sequence[int], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of a difference of two rates that both count over the same lines.

    The difference is ``sum(differences) / sum(sizes)``. The interval is its percentile bootstrap: lines are drawn with
    replacement, each with its difference and its size, 2000 times.

    Args:
        differences: For each line, what the one counts less what the other counts.
        sizes: For each line, what is counted over, such as its characters; above 0.
        seed: Of the draws; equal lines have equal intervals.

    Raises:
        ValueError: There are no lines, or not as many differences as sizes.
    """
    pairs = list(zip(differences, sizes, strict=True))
    if not pairs:
        raise ValueError("an interval needs at least one line")
    # Most lines are alike. Drawing how often each kind occurs is the same chance as drawing lines, and far less work.
    kinds, counts = np.unique(np.array(pairs), axis=0, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(len(pairs), counts / len(pairs), _RESAMPLES)
    sums = draws @ kinds
    return _interval(sums[:, 0] / sums[:, 1])


def _interval(resampled: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(resampled, [_LOW, _HIGH])
    return float(low), float(high)
