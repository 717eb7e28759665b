"""The contestants of a tuning, from the first look to the last round."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

from ocrhpi.candidate import Candidate, Split
from ocrhpi.tuning.choose import MARGIN, MIN_ROUNDS, choose, mean_times
from ocrhpi.tuning.contestant import SCORE_TOLERANCE, Contestant, Job, Rejected
from ocrhpi.tuning.gate import KnownLine, compare, failure, passes
from ocrhpi.tuning.progress import Step
from ocrhpi.tuning.rows import RANGE_EDGES, Row
from ocrhpi.tuning.verification import best_verified

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from ocrhpi.candidate import Setup
    from ocrhpi.tuning.calibration import CalibrationSet
    from ocrhpi.tuning.progress import Budget, Watcher
    from ocrhpi.tuning.question import Question

__all__ = ["Race", "best_split"]

_REFERENCE_SHARE = 0.25  # of the budget, for reading the reference: of a slow model, fewer lines
_ROUND_SHARE = 0.05  # of the budget, for a round of the baseline: of a slow model, a smaller sample
_FIRST_GATE = 32  # lines that a candidate reads before its first look; the others follow if it is worth it
_LOOKS_SHARE = 0.65  # of the budget
_KEPT = 6
_KEPT_FOR_OTHER_POLICIES = 2
_FAR_BEHIND = 1.5
_ENOUGH_ROUNDS = 5  # that should fit into the budget with all that are kept
_HALVING = (3, 6)  # after so many rounds the slower half leaves
_MOST_ROUNDS = 15


class Race:
    """The contestants, from the first look to the last round; the methods are called in the order they stand in.

    Args:
        job: What all contestants share.
        calibration: The lines they read.
        question: Which text will do, and which widths count.
        budget: Time for all of it.
        watcher: Is told of every step.
        chance: Decides the order within rounds.
    """

    def __init__(
        self,
        job: Job,
        calibration: CalibrationSet,
        question: Question,
        budget: Budget,
        watcher: Watcher,
        chance: random.Random,
    ) -> None:
        self._job = job
        self._lines = [KnownLine(line.name, line.text) for line in calibration.lines]
        self._question = question
        self._budget = budget
        self._watcher = watcher
        self._chance = chance
        self._all: list[Contestant] = []

    @property
    def _baseline(self) -> Contestant:
        return self._all[0]

    def start_baseline(self, candidate: Candidate) -> None:
        """Read the lines in normal mode: the reference of the gate; of a slow model, those that time allows."""
        baseline = Contestant(candidate, self._job, 0, baseline=True)
        self._all.append(baseline)
        self._tell("reading the reference", baseline, 0, 1)
        baseline.start(None)
        before = self._budget.spent
        baseline.read_to(min(_FIRST_GATE, len(self._lines)), None)
        while len(baseline.reading) < len(self._lines) and self._budget.left(_REFERENCE_SHARE):
            baseline.read_to(min(len(baseline.reading) + _FIRST_GATE, len(self._lines)), None)
        # Every stretch of the calibration lines has about the same mix of widths, and of easy and hard ones.
        self._lines = self._lines[: len(baseline.reading)]
        self._job = baseline.job = self._affordable((self._budget.spent - before) / len(self._lines))
        baseline.take_first_look(None)
        self._judge(baseline)

    def look_at(self, candidates: Sequence[Candidate]) -> list[Row]:
        """Start each candidate, read the first lines, time it once; return rows of those that time did not reach."""
        for number, candidate in enumerate(candidates):
            if not self._budget.left(_LOOKS_SHARE):
                reason = f"the budget of {self._budget.seconds:g} s was spent before its turn"
                return [Row(candidate=late, outcome="skipped", reason=reason) for late in candidates[number:]]
            self._look(candidate, number, len(candidates))
        return []

    def keep_best(self) -> None:
        """Keep the quickest, as many as the budget can time; of those that need another policy, the quickest two."""
        best = self._best_look()
        left = self._budget.left() - _ENOUGH_ROUNDS * self._cost(self._baseline)
        places = {True: 0, False: 0}
        for contestant in sorted(self._racing(), key=self._looked):
            passes = self._passes(contestant)
            left -= _ENOUGH_ROUNDS * self._cost(contestant) + self._rest_of_gate(contestant)
            behind = self._looked(contestant) / best
            fits = left > 0 or (passes and not places[True])
            if behind > _FAR_BEHIND or not fits or places[passes] >= (_KEPT if passes else _KEPT_FOR_OTHER_POLICIES):
                _leave_behind(contestant, "the first look", behind)
            else:
                places[passes] += 1

    def finish_gates(self) -> None:
        """Read the other calibration lines with those that are left."""
        racing = sorted(self._racing(), key=self._looked)
        for place, contestant in enumerate(racing):
            self._tell("reading all lines", contestant, place, len(racing))
            self._attempt(contestant, self._finish_gate)

    def try_split(self) -> None:
        """Let the quickest for narrow and for wide lines enter as a pair, if it looks quicker than the best alone."""
        able = [one for one in (self._baseline, *self._racing()) if self._passes(one)]
        singles = [(one.setup, one.look) for one in able if isinstance(one.setup, Candidate)]
        split = best_split(singles, self._question.weights)
        if split is not None and self._budget.left():
            self._look(split, 0, 1)
            self._attempt(self._all[-1], self._finish_gate)

    def try_verified(self) -> None:
        """Let one enter that may change text, with its doubtful lines read again, if that promises to be quickest."""
        whole = [(one.setup, one) for one in (self._baseline, *self._racing()) if isinstance(one.setup, Candidate)]
        able = [(setup, self._looked(one)) for setup, one in whole if setup.same_text and self._passes(one)]
        lows = [
            (one.setup, self._looked(one), one.reading)
            for one in self._all[1:]
            if isinstance(one.setup, Candidate)
            and not (one.setup.same_text or one.rejected)
            and len(one.reading) == len(self._lines)
        ]
        if not able or not self._budget.left():
            return
        verified = best_verified(lows, min(able, key=lambda one: one[1]), self._baseline.reading)
        if verified is not None:
            self._look(verified, 0, 1)
            self._attempt(self._all[-1], self._finish_gate)

    def run_rounds(self) -> None:
        """Time all that are left, in random order in each round, while the budget lasts; the slower half leaves."""
        for number in range(_MOST_ROUNDS):
            racing = [self._baseline, *self._racing()]
            if number >= MIN_ROUNDS and (not self._budget.left() or self._settled(number)):
                break
            self._chance.shuffle(racing)
            for contestant in racing:
                self._tell("timing", contestant, number, _MOST_ROUNDS)
                self._attempt(contestant, lambda one: one.time_round(number, self._baseline))  # noqa: B023 - at once
                if self._question.max_latency_ms is not None and self._question.goal == "throughput":
                    self._attempt(contestant, lambda one: one.time_latency(self._baseline))
            if number + 1 in _HALVING:
                self._halve(number + 1)

    def rows(self) -> list[Row]:
        """Return the rows, the baseline first."""
        return [contestant.row() for contestant in self._all]

    def close(self) -> None:
        """End all processes."""
        for contestant in self._all:
            contestant.close()

    def _racing(self) -> list[Contestant]:
        """Those of the candidates that are still in the race."""
        return [contestant for contestant in self._all[1:] if contestant.racing]

    def _affordable(self, seconds_per_line: float) -> Job:
        """Return the job with a sample that the baseline reads in its share of the budget, and of each range a line."""
        sample = self._job.sample
        cost = seconds_per_line * sum(map(len, sample))
        share = min(1.0, _ROUND_SHARE * self._budget.seconds / cost) if cost else 1.0
        return replace(self._job, sample=tuple(_thinned(numbers, share) for numbers in sample))

    def _look(self, setup: Setup, number: int, total: int) -> None:
        contestant = Contestant(setup, self._job, len(self._all))
        self._all.append(contestant)
        self._tell("taking a first look", contestant, number, total)

        def look(one: Contestant) -> None:
            one.start(self._baseline)
            one.read_to(min(_FIRST_GATE, len(self._lines)), self._baseline)
            self._judge(one)
            one.take_first_look(self._baseline)

        self._attempt(contestant, look)
        if contestant.racing:
            behind = self._looked(contestant) / self._best_look()
            if not self._passes(contestant) and behind > 1:
                assert contestant.gate is not None  # noqa: S101 - it was judged
                contestant.leave(f"{failure(self._question.accuracy, contestant.gate)}, and it is not quicker")
            elif behind > _FAR_BEHIND:
                _leave_behind(contestant, "the first look", behind)

    def _attempt(self, contestant: Contestant, step: Callable[[Contestant], None]) -> None:
        """Do a step; a candidate that fails is a row, a baseline that fails ends the tuning."""
        if contestant.reason:
            return
        try:
            step(contestant)
        except Rejected as error:
            if contestant.baseline:
                raise
            contestant.reject(str(error))

    def _finish_gate(self, contestant: Contestant) -> None:
        contestant.read_to(len(self._lines), self._baseline)
        self._judge(contestant)

    def _judge(self, contestant: Contestant) -> None:
        """Compare what was read so far with the reference.

        Raises:
            Rejected: The scores differ by more than the precision that it reports can explain.
        """
        read = contestant.reading
        reference = self._baseline.reading[: len(read)]
        contestant.gate = compare(self._lines[: len(read)], reference, read, self._job.model.labels)
        if contestant.setup.same_text and contestant.gate.score_difference > SCORE_TOLERANCE:
            raise Rejected(
                f"asked for fp32, but its scores differ from normal mode's by up to "
                f"{contestant.gate.score_difference:.2g}, more than FP32 arithmetic explains ({SCORE_TOLERANCE:g}): it "
                "runs a lower precision than it reports"
            )

    def _halve(self, rounds: int) -> None:
        """Let the slower half leave; of those that need another policy, the ones that are not quicker than the rest."""
        times = {one: statistics.median(self._weighed(sample) for sample in one.samples) for one in self._racing()}
        passing = sorted((one for one in self._racing() if self._passes(one)), key=lambda one: times[one])
        others = [one for one in self._racing() if one not in passing]
        if not passing:
            return
        leader = times[passing[0]]
        for contestant in (*passing[max(2, (len(passing) + 1) // 2) :], *others):
            behind = times[contestant] / leader
            if contestant in passing or behind > 1:
                _leave_behind(contestant, f"{rounds} rounds", behind)

    def _settled(self, rounds: int) -> bool:
        """Whether more rounds would change nothing."""
        return rounds > _HALVING[-1] and choose(self.rows(), self._question).decided

    def _passes(self, contestant: Contestant) -> bool:
        return contestant.gate is not None and passes(self._question.accuracy, contestant.gate)

    def _best_look(self) -> float:
        """Weighed first look of the quickest of those that read well enough."""
        return min(self._looked(one) for one in (self._baseline, *self._racing()) if self._passes(one))

    def _looked(self, contestant: Contestant) -> float:
        return self._weighed(contestant.look)

    def _weighed(self, times: Sequence[float | None]) -> float:
        """Milliseconds per line over the widths that count; ranges without lines are left out."""
        means = mean_times(self._question.weights, times)
        assert means is not None  # noqa: S101 - it was timed
        return means[0]

    def _cost(self, contestant: Contestant) -> float:
        """Seconds that a round of it takes."""
        pairs = zip(contestant.look, self._job.sample, strict=True)
        return sum(ms * len(numbers) for ms, numbers in pairs if ms is not None) / 1e3

    def _rest_of_gate(self, contestant: Contestant) -> float:
        """Seconds that reading the calibration lines it has not read will take."""
        return (len(self._lines) - len(contestant.reading)) * self._looked(contestant) / 1e3

    def _tell(self, doing: str, contestant: Contestant, done: int, total: int) -> None:
        able = [one for one in self._all if one.look and not one.rejected and self._passes(one)]
        leader = min(able, key=self._looked).setup.name if able else ""
        self._watcher(Step(doing, contestant.setup.name, done, total, leader, self._budget.left()))


def _thinned(numbers: tuple[int, ...], share: float) -> tuple[int, ...]:
    """Return about ``share`` of the numbers, evenly spread, and at least one of any."""
    kept = max(1, round(len(numbers) * share))
    return tuple(numbers[place * len(numbers) // kept] for place in range(min(kept, len(numbers))))


def _leave_behind(contestant: Contestant, after: str, behind: float) -> None:
    contestant.leave(f"left after {after}, {behind:.2f} times as slow as the quickest then")


def best_split(singles: Sequence[tuple[Candidate, Sequence[float | None]]], weights: Sequence[float]) -> Split | None:
    """Return the pair that should be faster than the best single candidate by the margin, from their first looks."""

    def times(look: Sequence[float | None], ranges: range) -> float:
        return sum(weights[number] * (look[number] or 0.0) for number in ranges)

    every = range(len(weights))
    best, split = min((times(look, every) for _, look in singles), default=0.0) / (1 + MARGIN), None
    for edge, up_to in enumerate(RANGE_EDGES):
        narrow, wide = every[: edge + 1], every[edge + 1 :]
        if not singles or not any(times(singles[0][1], part) for part in (narrow, wide)):
            continue
        first = min(singles, key=lambda one: times(one[1], narrow))
        second = min(singles, key=lambda one: times(one[1], wide))
        total = times(first[1], narrow) + times(second[1], wide)
        if first[0] != second[0] and total < best:
            best, split = total, Split(narrow=first[0], wide=second[0], up_to=up_to)
    return split
