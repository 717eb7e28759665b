"""What came of a scenario, and the model that all of them use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections import Counter

Row: TypeAlias = dict[str, Any]

MODEL = "PP-OCRv4_mobile_rec"
LONG_S = 300.0
"""After so many seconds something counts as hanging."""


def row(scenario: str, what: str, times: int, outcome: Counter[str], seconds: float) -> Row:
    """Return a row of the table.

    Args:
        scenario: Its name.
        what: What was done.
        times: How often.
        outcome: What came of it, and how often.
        seconds: What it took.
    """
    came = {name: count for name, count in outcome.items() if count}
    return {"scenario": scenario, "what": what, "times": times, "outcome": came, "seconds": round(seconds, 1)}
