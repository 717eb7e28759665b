"""The table as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.precision_table.lines import CALIBRATION, HARD, REAL
from benchmarks.precision_table.speed import LATENCY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["table"]

_HEADER = (
    *("", "ms a line", "ordinary lines", "real lines", "hard lines", "one line a call", "changed: real", "hard"),
    *("CER on hard", "no-loss", "read again: ordinary", "real", "hard"),
)


def table(accuracy: Mapping[str, Mapping[str, Any]], speed: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table of the rows in ``accuracy``, with times where ``speed`` has them."""
    rows = [_HEADER, ("---", *["---:"] * (len(_HEADER) - 1))]
    rows += [tuple(_cells(title, facts, speed.get(title))) for title, facts in accuracy.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _cells(title: str, facts: Mapping[str, Any], times: Mapping[str, Any] | None) -> Iterator[str]:
    threshold = facts.get("threshold")
    yield title if threshold is None else f"{title}, margin {threshold:.2f}"
    if "sets" not in facts:
        yield "no threshold catches every change on the lines of the tuning"
        yield from [""] * (len(_HEADER) - 2)
        return
    yield "" if times is None else f"{times[CALIBRATION]['ms']:.2f}"
    for name in (CALIBRATION, REAL, HARD, LATENCY):
        yield "" if times is None else f"{times[name]['ratio']:.2f}x"
    sets = facts["sets"]
    for name in (REAL, HARD):
        yield f"{sets[name]['changed']} of {sets[name]['lines']}"
    yield f"{100 * sets[HARD]['cer']:.2f} %"
    yield "yes" if sets[HARD]["no_loss"] else "no"
    for name in (CALIBRATION, REAL, HARD):
        again = sets[name]["again"]
        yield "" if again is None else f"{100 * again:.1f} %"
