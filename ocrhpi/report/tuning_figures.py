"""The numbers of a tuning as they are shown: its rows in the order of the table, and what follows from samples."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ocrhpi.tuning.choose import refusal

if TYPE_CHECKING:
    from ocrhpi.measuring.statistic import Ratio
    from ocrhpi.tuning.cache import Tuning
    from ocrhpi.tuning.rows import Row

_RANK = {"measured": 0, "rejected": 1, "skipped": 2}


@dataclass(frozen=True)
class Figures:
    """What is shown of one row.

    Attributes:
        number: Its number in the tuning.
        row: The row.
        won: Whether it is the winner.
        place: In which place it may run, 1 for the winner; None if it may not run.
        refusal: Why it may not run, as a phrase or sentence; empty if it may.
        ratio: How many times as fast as normal mode it is, in the rounds; None if it took part in none.
        speed: The same as one number; of a row without rounds, from screening; None if that is not known either.
        ms: Milliseconds per line of a stream: the median of the rounds, or what screening saw.
        alone_ms: The same of a line in a call of its own; None where that was not measured.
    """

    number: int
    row: Row
    won: bool
    place: int | None
    refusal: str
    ratio: Ratio | None
    speed: float | None
    ms: float | None
    alone_ms: float | None

    @property
    def name(self) -> str:
        """What the row is called."""
        return self.row.candidate.name + (" (normal mode)" if self.row.baseline else "")

    @property
    def left_early(self) -> bool:
        """Whether its speed is from screening alone."""
        return self.ratio is None and self.speed is not None


def figures_of(tuning: Tuning) -> list[Figures]:
    """Return the rows, best first: the winner, those that may run, those that may not, the rejected, the skipped."""
    baseline = next((row for row in tuning.rows if row.baseline), None)
    figures = [_figures(tuning, number, baseline) for number in range(len(tuning.rows))]
    return sorted(figures, key=_rank)


def lines_read(tuning: Tuning) -> int:
    """Return how many calibration lines were read."""
    return max((row.gate.lines + row.gate.apart for row in tuning.rows if row.gate), default=0)


def part_of_key(tuning: Tuning, name: str) -> dict[str, Any]:
    """Return a part of the key that has parts itself; empty if the file, perhaps edited by hand, has no such part."""
    part = tuning.key.get(name)
    return part if isinstance(part, dict) else {}


def _figures(tuning: Tuning, number: int, baseline: Row | None) -> Figures:
    row, choice = tuning.rows[number], tuning.choice
    ratio = choice.ratios[number] if number < len(choice.ratios) else None
    alone = row.times if tuning.objective.goal == "latency" else row.latency
    return Figures(
        number=number,
        row=row,
        won=number == choice.winner,
        place=choice.order.index(number) + 1 if number in choice.order else None,
        refusal="" if number in choice.order else refusal(row, tuning.objective),
        ratio=ratio,
        speed=ratio.median if ratio else _screened_speed(row, baseline),
        ms=statistics.median(row.times) if row.times else row.look,
        alone_ms=statistics.median(alone) if alone else None,
    )


def _rank(figures: Figures) -> tuple[bool, int, bool, float]:
    return (not figures.won, _RANK[figures.row.outcome], figures.place is None, -(figures.speed or 0.0))


def _screened_speed(row: Row, baseline: Row | None) -> float | None:
    return baseline.look / row.look if baseline is not None and row.look and baseline.look else None
