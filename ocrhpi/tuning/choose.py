"""The choice: rows of raw timings and an objective -> the winner, and why. A pure function; it measures nothing.

Two rows are compared over the rounds that both took part in, round by round, so that the drift of the machine falls
out. Normal mode, the baseline, stays unless a candidate that passes the gate and holds the bounds is faster beyond the
noise. Noise is never an error: it is a choice that is not decided.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrhpi.measuring.statistic import MARGIN, MIN_ROUNDS, Ratio, paired_ratio, verdict
from ocrhpi.options import Options
from ocrhpi.tuning.gate import failure, next_policy_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ocrhpi.config.objective import Objective
    from ocrhpi.tuning.rows import Row

_MARGIN = f"{MARGIN * 100:g} %"


class RelaxedResult(Options):
    """What a more relaxed policy of accuracy would give.

    Attributes:
        accuracy: The policy.
        row: The row that would win.
        gain: How many times as fast as the winner it is.
    """

    accuracy: str
    row: int
    gain: float


class Choice(Options):
    """Which row is run, and why.

    Attributes:
        winner: The row.
        decided: False if noise, or a want of rounds, leaves open which row is best.
        reason: Why it is that row; a sentence.
        order: All rows that may run, best first: the winner, others proved faster than the baseline, the baseline, the
            rest. If one cannot be loaded, the next is taken.
        ratios: How many times as fast as the baseline each row is; None where no round can be compared.
        next_policy: The faster row that the next more relaxed policy of accuracy would allow, if there is one.
    """

    winner: int
    decided: bool
    reason: str
    order: tuple[int, ...]
    ratios: tuple[Ratio | None, ...]
    next_policy: RelaxedResult | None = None


def choose(rows: Sequence[Row], objective: Objective) -> Choice:
    """Choose the row to run.

    A row may run if it was measured, passes the gate and holds the bounds; a bound whose quantity was not measured is
    not held. It may win if, besides, the interval of its ratio to the baseline lies above ``1 + MARGIN``. If none may,
    the baseline wins. The fastest is the one of greatest median ratio; those within `MARGIN` of it count as equal, and
    the simplest of them wins.

    If the baseline itself breaks a bound, it has no advantage: every row that may run wins over it unless its interval
    lies below 1. The baseline wins only if there is no such row.

    Args:
        rows: All rows; exactly one is the baseline. Their order does not matter.
        objective: What is made best, within which bounds.

    Raises:
        ValueError: There is no baseline, or more than one.
    """
    comparison = _Comparison.of(rows, objective)
    allowed = comparison.allowed(objective.accuracy)
    able = [row for row in allowed if comparison.may_win(row)]
    equal = comparison.equals_of_best(able)
    winner = comparison.simplest(equal) if equal else comparison.baseline
    rival = comparison.rival(winner, [row for row in allowed if row not in equal], able)
    return Choice(
        winner=winner,
        decided=rival is None and (comparison.ratios[comparison.baseline] is not None or not allowed),
        reason=_reason(comparison, winner, equal, rival),
        order=_order(comparison, winner, able, allowed),
        ratios=comparison.ratios,
        next_policy=_next_policy(comparison, winner),
    )


def refusal(row: Row, objective: Objective, accuracy: str | None = None) -> str:
    """Return why a row may not run, as a phrase or sentence; empty if it may.

    Args:
        row: The row.
        objective: The bounds, and the policy of accuracy.
        accuracy: Another policy than that of the objective.
    """
    if row.outcome != "measured":
        return row.reason or f"it was {row.outcome}"
    if row.gate is None:
        return "it did not read all lines"
    return failure(accuracy or objective.accuracy, row.gate) or _broken_bound(row, objective)


@dataclass(frozen=True)
class _Comparison:
    """The rows, by number, and how they compare.

    Attributes:
        rows: All rows.
        objective: What is made best, within which bounds.
        baseline: Number of the baseline.
        ratios: How many times as fast as the baseline each row is.
    """

    rows: Sequence[Row]
    objective: Objective
    baseline: int
    ratios: tuple[Ratio | None, ...]

    @classmethod
    def of(cls, rows: Sequence[Row], objective: Objective) -> _Comparison:
        baselines = [number for number, row in enumerate(rows) if row.baseline]
        if len(baselines) != 1:
            raise ValueError(f"expected exactly one row that is the baseline, got {len(baselines)}")
        ratios = tuple(_speed(row, rows[baselines[0]]) for row in rows)
        return cls(rows, objective, baselines[0], ratios)

    def name(self, number: int) -> str:
        """Return what a row is called in a sentence."""
        return f"'{self.rows[number].candidate.name}'"

    def describe(self, number: int) -> str:
        """Return how fast a row is, in a sentence."""
        ratio = self.ratios[number]
        if ratio is None:
            return "not compared with normal mode"
        return f"{ratio} as fast as normal mode" + (f" in {ratio.rounds} rounds" if ratio.rounds > 1 else "")

    def allowed(self, accuracy: str) -> list[int]:
        """Return the rows that may run, without the baseline."""
        others = (number for number in range(len(self.rows)) if number != self.baseline)
        return [number for number in others if not refusal(self.rows[number], self.objective, accuracy)]

    def may_win(self, number: int) -> bool:
        """Return whether enough rounds say that the row is better than the baseline."""
        ratio = self.ratios[number]
        proved = verdict(ratio, MARGIN)
        if _broken_bound(self.rows[self.baseline], self.objective):
            return ratio is not None and proved != "open" and ratio.high >= 1
        return proved == "faster"

    def speed(self, number: int, other: int) -> Ratio | None:
        """Return how many times as fast as another a row is.

        With too few rounds of their own, their ratios to the baseline tell; the interval is then the widest possible.
        """
        direct = _speed(self.rows[number], self.rows[other])
        one, two = self.ratios[number], self.ratios[other]
        if one is None or two is None or (direct and direct.rounds >= MIN_ROUNDS):
            return direct
        return Ratio(median=one.median / two.median, low=one.low / two.high, high=one.high / two.low, rounds=0)

    def by_speed(self, numbers: Iterable[int]) -> list[int]:
        """Return the rows, fastest first; of equally fast ones the simpler first."""

        def key(number: int) -> tuple[float, int, str, str]:
            ratio, candidate = self.ratios[number], self.rows[number].candidate
            everything = candidate.model_dump_json()  # names leave the device out
            return -ratio.median if ratio else 0.0, candidate.complexity, candidate.name, everything

        return sorted(numbers, key=key)

    def equals_of_best(self, able: Iterable[int]) -> list[int]:
        """Return the fastest of these rows and all that are as fast within the margin."""
        ordered = self.by_speed(able)
        return [number for number in ordered if self._is_near(ordered[0], number)]

    def simplest(self, equal: Sequence[int]) -> int:
        """Return the simplest of equally fast rows, given in their order; of equally simple ones the fastest."""
        return min(equal, key=lambda number: self.rows[number].candidate.complexity)

    def rival(self, winner: int, others: Sequence[int], able: Sequence[int]) -> int | None:
        """Return the first of other rows that may be faster than the winner for all that is known.

        One that may win is a rival unless it is clearly slower; one about which too little is known for that, only if
        it seems faster.
        """
        for number in self.by_speed(others):
            speed = self.speed(number, winner)
            if speed and (speed.high >= 1 if number in able else speed.median > 1 + MARGIN):
                return number
        return None

    def _is_near(self, best: int, number: int) -> bool:
        speed = self.speed(best, number)
        return number == best or (speed is not None and speed.median <= 1 + MARGIN)


def _order(comparison: _Comparison, winner: int, able: Sequence[int], allowed: Sequence[int]) -> tuple[int, ...]:
    rest = [row for row in allowed if row not in able]
    order = [winner, *comparison.by_speed(able), comparison.baseline, *comparison.by_speed(rest)]
    return tuple(dict.fromkeys(order))


def _next_policy(comparison: _Comparison, winner: int) -> RelaxedResult | None:
    """Return the row that would win under the next more relaxed policy of those clearly faster than the winner."""
    accuracy = next_policy_of(comparison.objective.accuracy)
    if accuracy is None:
        return None
    able = [row for row in comparison.allowed(accuracy) if comparison.may_win(row)]
    gains = {row: gain.median for row in able if (gain := comparison.speed(row, winner)) and gain.low > 1 + MARGIN}
    if not gains:
        return None
    best = comparison.simplest(comparison.equals_of_best(gains))
    return RelaxedResult(accuracy=accuracy, row=best, gain=gains[best])


def _reason(comparison: _Comparison, winner: int, equal: Sequence[int], rival: int | None) -> str:
    telling = (
        _why_baseline(comparison, rival)
        if winner == comparison.baseline
        else _why_candidate(comparison, winner, equal, rival)
    )
    return "; ".join((*telling, *_faster_but_refused(comparison, winner))) + "."


def _why_candidate(comparison: _Comparison, winner: int, equal: Sequence[int], rival: int | None) -> list[str]:
    telling = [f"{comparison.name(winner)} is {comparison.describe(winner)}"]
    if winner != equal[0]:
        telling.append(f"{comparison.name(equal[0])} is as fast within {_MARGIN}, but more complex")
    if fault := _broken_bound(comparison.rows[comparison.baseline], comparison.objective):
        telling.append(f"normal mode is out of the question: {fault}")
    if rival is not None:
        speed = comparison.speed(rival, winner)
        telling.append(
            f"whether {comparison.name(rival)} is faster still is not clear: it is {speed} as fast as the winner"
        )
    return telling


def _why_baseline(comparison: _Comparison, rival: int | None) -> list[str]:
    stays = f"normal mode, {comparison.name(comparison.baseline)}, stays"
    others = comparison.by_speed(comparison.allowed(comparison.objective.accuracy))
    if comparison.ratios[comparison.baseline] is None:
        return [f"{stays}: it has no timings that others could be compared with"]
    if fault := _broken_bound(comparison.rows[comparison.baseline], comparison.objective):
        return [f"{stays}, although {fault}: no candidate that may run is known to be as fast"]
    if not others:
        return [f"{stays}: no other candidate may run"]
    name, described = (of(others[0] if rival is None else rival) for of in (comparison.name, comparison.describe))
    if rival is not None:
        return [f"{stays}: {name} seems {described}, which does not prove more than {_MARGIN}"]
    return [f"{stays}: the fastest other that may run, {name}, is {described}"]


def _faster_but_refused(comparison: _Comparison, winner: int) -> list[str]:
    for row in comparison.by_speed(range(len(comparison.rows))):
        why, speed = refusal(comparison.rows[row], comparison.objective), comparison.speed(row, winner)
        if why and speed and speed.low > 1 + MARGIN:
            return [f"{comparison.name(row)} would be {speed} as fast as the winner, but {why.rstrip('.')}"]
    return []


def _broken_bound(row: Row, objective: Objective) -> str:
    """Return which bound the row does not hold, as a phrase; empty if it holds all."""
    bounds = (
        (objective.max_latency_ms, _latency_ms(row, objective), "ms a line"),
        (objective.max_memory_mib, row.peak_mib, "MiB of memory"),
    )
    for bound, taken, unit in bounds:
        if bound is not None and taken is None:
            return f"its {unit} were not measured, where at most {bound:g} are allowed"
        if bound is not None and taken is not None and taken > bound:
            return f"it takes {taken:.4g} {unit}, where at most {bound:g} are allowed"
    return ""


def _latency_ms(row: Row, objective: Objective) -> float | None:
    """Return the milliseconds of a line in a call of its own: the median of the rounds."""
    times = row.times if objective.goal == "latency" else row.latency
    return statistics.median(times) if times else None


def _speed(row: Row, other: Row) -> Ratio | None:
    """Return how many times as fast as another a row is; None if they share no round."""
    first = max(row.first_round, other.first_round)
    shared = list(zip(row.times[first - row.first_round :], other.times[first - other.first_round :], strict=False))
    return paired_ratio([theirs for _, theirs in shared], [own for own, _ in shared]) if shared else None
