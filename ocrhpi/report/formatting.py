"""Words and numbers as every form of the report shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrhpi.display.formatting import decimal, times
from ocrhpi.report.summary import verdict

if TYPE_CHECKING:
    from ocrhpi.tuning.rows import GateResult
    from ocrhpi.tuning.statistic import Ratio

MISSING = "-"

NO_DIFFERENCE = "no difference beyond noise"


def number(value: float | None) -> str:
    """Return three digits; a dash for None."""
    return decimal(value) or MISSING


def accuracy(share: float | None) -> str:
    """Return a share of lines in percent, as the published table gives it; a dash for None."""
    return MISSING if share is None else f"{100 * share:.2f}"


def gain(value: float | None) -> str:
    """Return a speed-up of which no interval is known; a dash for None."""
    return MISSING if value is None else times(value)


def interval(ratio: Ratio) -> str:
    """Return the interval of a speed-up, or why there is none worth showing."""
    if verdict(ratio) == "open":
        return f"{ratio.rounds} round{'' if ratio.rounds == 1 else 's'}, too few to tell"
    low, high = (times(end).removesuffix("x") for end in (ratio.low, ratio.high))
    return f"{low} to {high}"


def speed(ratio: Ratio | None) -> str:
    """Return a speed-up with its interval, and no more than that proves; a dash for None."""
    if ratio is None:
        return MISSING
    shown = f"{times(ratio.median)} ({interval(ratio)})"
    return f"{shown}: {NO_DIFFERENCE}" if verdict(ratio) == "none" else shown


def either(one: float | None, other: float | None) -> str:
    """Return two times as the published table gives them, ``16.7 / 4.64``; a dash without both."""
    return MISSING if one is None and other is None else f"{number(one)} / {number(other)}"


def equal_texts(gate: GateResult | None) -> str:
    """Return how many texts are equal to those of normal mode, such as ``32 of 32``; a dash if it is not known."""
    return MISSING if gate is None else f"{gate.lines - gate.changed} of {gate.lines}"
