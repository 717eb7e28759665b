"""Verification as a trial: which pair to try, and the threshold that the calibration lines ask for.

The figures are of docs/decisions/0022-verified-low-precision.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrhpi.config.candidate import Candidate, Verified

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ocrhpi.tuning.gate import ReadLine

MIN_MARGIN = 0.2
"""Least threshold: of lines that changed, few may be among the calibration lines, and none of the doubtful ones."""

MAX_MARGIN = 0.6
"""Largest threshold: beyond it so many lines are in doubt that nothing is gained."""

_SAFETY = 1.25
_AGAIN = 1.3  # what a line of the second pass costs, in lines read at once: few lines make small batches
_MIN_GAIN = 1.2  # times as fast as full precision that the pair must promise


def threshold_of(low: Sequence[ReadLine], reference: Sequence[ReadLine]) -> float | None:
    """Return the threshold at which every calibration line that changed is read again, with a safety factor.

    Args:
        low: What a candidate read that may change text, with margins.
        reference: What normal mode read on the same lines.

    Returns:
        None if a line changed that no threshold up to `MAX_MARGIN` would have caught, or margins are not known.
    """
    return _beyond(largest_change(low, reference))


def largest_change(low: Sequence[ReadLine], reference: Sequence[ReadLine]) -> float | None:
    """Return the largest margin of a line whose text changed: what a threshold must exceed to catch all; 0 of none.

    Arguments are those of `threshold_of`. None if margins are not known.
    """
    needed = 0.0
    for line, expected in zip(low, reference, strict=True):
        if line.margin is None:
            return None
        if line.text != expected.text:
            needed = max(needed, line.margin)
    return needed


def best_verified(
    lows: Iterable[tuple[Candidate, float, Sequence[ReadLine]]],
    full: tuple[Candidate, float],
    reference: Sequence[ReadLine],
    widths: Sequence[int],
) -> Verified | None:
    """Return the pair that promises most over ``full`` alone; None if none promises enough.

    Args:
        lows: Candidates that may change text, their milliseconds per line, and what they read on the lines that decide.
        full: The best candidate of the same text, and its milliseconds per line.
        reference: What normal mode read on the same lines.
        widths: Exact widths of these lines in pixels: what reading them again costs.
    """
    best, least = None, full[1] / _MIN_GAIN
    for low, ms, read in lows:
        change = largest_change(read, reference[: len(read)])
        threshold = _beyond(change)
        if threshold is None or change is None:
            continue
        doubtful = sum(
            width
            for line, width in zip(read, widths, strict=True)
            if line.margin is not None and line.margin < threshold
        )
        again = doubtful / sum(widths)
        promised = ms + _AGAIN * again * full[1]
        if promised < least:
            least = promised
            best = Verified(
                low=low,
                full=full[0],
                threshold=round(threshold, 3),
                break_even=_break_even(ms, full[1]),
                read_again=round(again, 4),
                largest_change=round(change, 4),
            )
    return best


def _beyond(change: float | None) -> float | None:
    """Return the threshold that catches changes up to this margin, with a safety factor; None if none may."""
    threshold = max(MIN_MARGIN, _SAFETY * change) if change is not None else None
    return threshold if threshold is not None and threshold <= MAX_MARGIN else None


def _break_even(low_ms: float, full_ms: float) -> float:
    """Return the share of the work done again at which low + share * full = full."""
    return round(max(0.0, 1 - low_ms / full_ms), 3)
