"""The contestants of a tuning, from screening to the last round."""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from ocrhpi.candidate import Candidate
from ocrhpi.recognition.geometry import line_geometry
from ocrhpi.tuning.choose import MIN_ROUNDS, choose
from ocrhpi.tuning.contestant import SCORE_TOLERANCE, Contestant, Job, Rejected
from ocrhpi.tuning.gate import compare, failure, known_lines, passes
from ocrhpi.tuning.progress import Step
from ocrhpi.tuning.rows import Row
from ocrhpi.tuning.verification import best_verified

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from ocrhpi.candidate import Setup, Verified
    from ocrhpi.tuning.calibration import CalibrationSet
    from ocrhpi.tuning.gate import ReadLine
    from ocrhpi.tuning.progress import Budget, Effort, Watcher
    from ocrhpi.tuning.question import Question
    from ocrhpi.values import Pixels

__all__ = ["Race"]

_FIRST_GATE = 32  # lines that a candidate reads before it is timed; the others follow if it is worth it
_FAR_BEHIND = 1.5
_HOPELESS = 3.0  # times as slow: more than another precision of the same engine gains
_FAILED_ENOUGH = 2  # of an engine at a precision, before the others of it are given up, too
_MEETING_S = 1.0  # what meeting the shapes of the rounds takes, about
_STREAM_LINES, _STREAM_SHARE = 300, 0.08  # that a pair is judged by, and the share of the budget they may take
_VERIFIED_SHARE = 0.75  # of the budget, after which a pair has no time to prove itself
_HALVING = (3, 6)  # after so many rounds the slower half leaves
_LEAST_CALL, _MOST_ALONE = 8, 24  # lines of a round; where they come one a call
_LEAST_PART = 4  # lines that normal mode reads of a round


class Race:
    """The contestants, from screening to the last round; the methods are called in the order they stand in.

    Args:
        job: What all contestants share.
        calibration: The lines they read.
        question: Which text will do.
        budget: Time for all of it.
        effort: How much is measured.
        watcher: Is told of every step.
        rng: Decides the order within rounds.
    """

    def __init__(
        self,
        job: Job,
        calibration: CalibrationSet,
        question: Question,
        budget: Budget,
        effort: Effort,
        watcher: Watcher,
        rng: random.Random,
    ) -> None:
        lines = known_lines(((line.name, line.text) for line in calibration.lines), job.model.labels)
        # Those that decide come first: a quick look, and a slow model, get no further.
        order = sorted(range(len(lines)), key=lambda number: not lines[number].decides)[: effort.most_lines]
        self._job = replace(job, order=tuple(order))
        self._lines = [lines[number] for number in order]
        self._widths = [self._width(calibration.lines[number].pixels) for number in order]
        self._stream = calibration.stream(job.model.spec)
        self._question = question
        self._budget = budget
        self._effort = effort
        self._watcher = watcher
        self._rng = rng
        self._all: list[Contestant] = []
        self._ahead: Contestant | None = None

    def _width(self, line: Pixels) -> int:
        height, width = line.shape[:2]
        return line_geometry(width, height, self._job.model.spec).padded_width

    @property
    def _baseline(self) -> Contestant:
        return self._all[0]

    def start_baseline(self, candidate: Candidate, first: Candidate | None = None) -> None:
        """Read the lines in normal mode: the reference of the gate; of a slow model, those that time allows.

        Args:
            candidate: Normal mode.
            first: What is screened first; its graphs are exported while normal mode is loaded and reads.
        """
        baseline = Contestant(candidate, self._job, 0, baseline=True)
        self._all.append(baseline)
        self._tell("reading the reference", baseline, 0, 1)
        with ThreadPoolExecutor(1) as meanwhile:
            if first is not None:
                self._ahead = Contestant(first, self._job, 1)
                self._ahead.spawn()
                meanwhile.submit(self._prepare_ahead, self._ahead)
            self._read_reference(baseline)
        baseline.take_first_look(None)
        self._afford(_looked(baseline))  # once more, with nothing else running
        self._judge(baseline)

    def _read_reference(self, baseline: Contestant) -> None:
        baseline.start(None)
        before, share = self._budget.spent, self._effort.reference_share
        baseline.read_to(min(_FIRST_GATE, len(self._lines)), None)
        while len(baseline.reading) < len(self._lines) and self._budget.left(share):
            baseline.read_to(min(len(baseline.reading) + _FIRST_GATE, len(self._lines)), None)
        # Every stretch of the calibration lines has about the same mix of widths, and of easy and hard ones.
        self._lines = self._lines[: len(baseline.reading)]
        self._afford(1e3 * (self._budget.spent - before) / len(self._lines))

    def _afford(self, milliseconds: float) -> None:
        """Let a call hold as many lines as take their share of the budget, at so many milliseconds per line."""
        affordable = round(1e3 * self._effort.round_share * self._budget.seconds / milliseconds)
        most = self._effort.call_lines if self._question.goal == "throughput" else _MOST_ALONE
        self._job = replace(self._job, call_lines=min(most, max(_LEAST_CALL, affordable)))
        for contestant in self._all:
            contestant.job = self._job

    def _set_pace(self) -> None:
        """Let the best decide how many lines a round reads; of them normal mode, if it is slow, reads a part."""
        if self._effort.careful:
            self._afford(self._best_look())
        share = 1e3 * self._effort.round_share * self._budget.seconds
        every = round(1e3 * self._cost(self._baseline) / share)
        self._baseline.every = min(max(1, every), self._job.call_lines // _LEAST_PART)

    def _prepare_ahead(self, contestant: Contestant) -> None:
        try:
            contestant.prepare()
        except Rejected as error:
            contestant.reject(error)

    def screen(self, candidates: Sequence[Candidate]) -> list[Row]:
        """Start each candidate, read the first lines, time it; return rows of those that were passed over, and why."""
        rows = []
        for number, candidate in enumerate(candidates):
            reason = self._too_late() or self._hopeless(candidate)
            if reason:
                rows.append(Row(candidate=candidate, outcome="skipped", reason=reason))
            else:
                self._look(candidate, number, len(candidates))
        if self._ahead is not None:  # it was passed over
            self._ahead.close()
        return rows

    def keep_best(self) -> None:
        """Keep the quickest, as many as the budget can time; of the others the best of a kind."""
        best = self._best_look()
        round_s = min(self._cost(self._baseline), self._effort.round_share * self._budget.seconds)
        left = self._budget.left() - MIN_ROUNDS * round_s
        some = min(1, self._effort.others)
        places = {"leads": self._effort.kept, "verifiable": some, "other": some}
        for contestant in sorted(self._racing(), key=_looked):
            place = "leads" if self._leads(contestant) else "verifiable" if _verifiable(contestant) else "other"
            left -= MIN_ROUNDS * self._cost(contestant) + self._rest_of_gate(contestant) + _MEETING_S
            behind = _looked(contestant) / best
            fits = left > 0 or (place == "leads" and places[place] == self._effort.kept)
            if behind > _FAR_BEHIND or not fits or not places[place]:
                _leave_behind(contestant, "screening", behind)
            else:
                places[place] -= 1

    def finish_gates(self) -> None:
        """Meet the shapes of the rounds, whose first sight can be timed now; then read the other calibration lines."""
        self._set_pace()
        racing = sorted(self._racing(), key=_looked)
        for place, contestant in enumerate(racing):
            self._meet(contestant)
            self._tell("reading all lines", contestant, place, len(racing))
            self._attempt(contestant, self._finish_gate)

    def try_verified(self) -> None:
        """Let one enter that may change text, with its doubtful lines read again, if that promises to be quickest."""
        able = [one for one in (self._baseline, *self._racing()) if one.setup.same_text and self._passes(one)]
        lows = [one for one in self._racing() if _verifiable(one) and not self._passes(one)]
        if not (able and lows and self._budget.left(_VERIFIED_SHARE)):
            return
        verified = self._best_pair(lows, min(able, key=_looked))
        if verified is not None:
            self._look(verified, 0, 1)
            self._meet(self._all[-1])
            self._attempt(self._all[-1], self._finish_gate)

    def _best_pair(self, lows: Sequence[Contestant], full: Contestant) -> Verified | None:
        """Compare them on the calibration lines and on a part of the stream: of few lines few change."""
        share = 1e3 * _STREAM_SHARE * self._budget.seconds
        lines = min(_STREAM_LINES, round(share / sum(map(_looked, (full, *lows)))))
        read: dict[Contestant, list[ReadLine]] = {}
        for one in (full, *lows):
            self._tell("reading the stream", one, len(read), 1 + len(lows))
            self._attempt(one, lambda one: read.update({one: one.read_stream(lines, self._baseline)}))
        if full not in read:
            return None
        expected = [*self._deciding(self._baseline.reading), *read[full]]
        tried = [(one, [*self._deciding(one.reading), *read[one]]) for one in lows if one in read]
        return best_verified(
            [(_candidate(one), _looked(one), own) for one, own in tried],
            (_candidate(full), _looked(full)),
            expected,
            [width for width, line in zip(self._widths, self._lines, strict=False) if line.decides]
            + [self._width(line) for line in self._stream.part(0, lines)],
        )

    def run_rounds(self) -> None:
        """Time all that are left, in random order in each round, while the budget lasts; the slower half leaves."""
        others = sorted((one for one in self._racing() if not self._leads(one)), key=_looked)
        for contestant in others[1:]:  # one is enough to say what another policy would give
            _leave_behind(contestant, "screening", _looked(contestant) / self._best_look())
        for number in range(self._effort.rounds):
            racing = [self._baseline, *self._racing()]
            if number >= MIN_ROUNDS and (not self._budget.left() or self._settled(number)):
                break
            self._rng.shuffle(racing)
            for contestant in racing:
                self._tell("timing", contestant, number, self._effort.rounds)
                self._attempt(contestant, lambda one: one.time_round(number, self._baseline))  # noqa: B023 - at once
                if self._bounded:
                    self._attempt(contestant, lambda one: one.time_latency(number, self._baseline))  # noqa: B023
            if number + 1 in _HALVING:
                self._halve(number + 1)

    def rows(self) -> list[Row]:
        """Return the rows, the baseline first."""
        return [contestant.row() for contestant in self._all]

    def close(self) -> None:
        """End all processes."""
        for contestant in (*self._all, *([self._ahead] if self._ahead else [])):
            contestant.close()

    def _racing(self) -> list[Contestant]:
        """Those of the candidates that are still in the race."""
        return [contestant for contestant in self._all[1:] if contestant.racing]

    def _too_late(self) -> str:
        if len(self._all) <= self._effort.least or self._budget.left(self._effort.screening_share):
            return ""
        return f"the budget of {self._budget.seconds:g} s was spent before its turn"

    def _hopeless(self, candidate: Candidate) -> str:
        """Say why a candidate is not worth a look, by what was seen of its kind; empty if it is."""
        of_engine = [one for one in self._all if getattr(one.setup, "backend", None) == candidate.backend]
        of_kind = [one for one in of_engine if not one.baseline and getattr(one.setup, "kind", None) == candidate.kind]
        if len(of_kind) >= _FAILED_ENOUGH and all(one.rejected for one in of_kind):
            failed = of_kind[0].setup.name
            return f"screened out: {len(of_kind)} others of {candidate.kind_name} failed, such as {failed!r}"
        for kin, limit, what in ((of_kind, _FAR_BEHIND, "engine and precision"), (of_engine, _HOPELESS, "engine")):
            seen = [one for one in kin if one.look is not None and not one.rejected]
            quickest = min(seen, key=_looked, default=None)
            behind = _looked(quickest) / self._best_look() if quickest else 0.0
            if quickest and behind > limit:
                who = f"{quickest.setup.name!r}, of the same {what},"
                return f"screened out: {who} was {behind:.2f} times as slow as the quickest then"
        others = [one for one in self._all[1:] if not one.setup.same_text and not one.rejected]
        if self._question.accuracy == "identical" and not candidate.same_text and len(others) >= self._effort.others:
            return "screened out: it may change text, which the policy forbids, and enough of its like were looked at"
        return ""

    def _look(self, setup: Setup, number: int, total: int) -> None:
        contestant = Contestant(setup, self._job, len(self._all))
        if self._ahead is not None and self._ahead.setup == setup:
            contestant, self._ahead = self._ahead, None
            contestant.job = self._job
        self._all.append(contestant)
        self._tell("screening", contestant, number, total)

        def look(one: Contestant) -> None:
            one.start(self._baseline)
            one.read_to(min(_FIRST_GATE, len(self._lines)), self._baseline)
            self._judge(one)
            if self._effort.careful:
                one.read_shuffled(self._baseline)
            one.take_first_look(self._baseline)

        self._attempt(contestant, look)
        if contestant.racing:
            behind = _looked(contestant) / self._best_look()
            if not self._passes(contestant) and behind > 1:
                assert contestant.gate is not None  # noqa: S101 - it was judged
                contestant.leave(f"{failure(self._question.accuracy, contestant.gate)}, and it is not quicker")
            elif behind > _FAR_BEHIND:
                _leave_behind(contestant, "screening", behind)

    def _attempt(self, contestant: Contestant, step: Callable[[Contestant], None]) -> None:
        """Do a step; a candidate that fails is a row, a baseline that fails ends the tuning."""
        if contestant.reason:
            return
        try:
            step(contestant)
        except Rejected as error:
            if contestant.baseline:
                raise
            contestant.reject(error)

    @property
    def _bounded(self) -> bool:
        """Whether the latency is measured besides."""
        return self._question.max_latency_ms is not None and self._question.goal == "throughput"

    def _meet(self, contestant: Contestant) -> None:
        if self._effort.careful:
            self._tell("meeting shapes", contestant, 0, 1)
            self._attempt(contestant, lambda one: one.meet_shapes(_HALVING[-1], self._baseline, alone=self._bounded))

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
        times = {one: statistics.median(one.samples) + one.first_sight_ms for one in self._racing()}
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

    def _deciding(self, reading: Sequence[ReadLine]) -> list[ReadLine]:
        return [read for read, line in zip(reading, self._lines, strict=True) if line.decides]

    def _leads(self, contestant: Contestant) -> bool:
        """Whether others are held against it: what may change text must have read all lines well where none may."""
        surely = contestant.setup.same_text or len(contestant.reading) == len(self._lines)
        return self._passes(contestant) and (surely or self._question.accuracy != "identical")

    def _best_look(self) -> float:
        """Look of the quickest of those that lead, and normal mode is one whatever it reads."""
        leading = (one for one in self._racing() if self._leads(one))
        return min(map(_looked, (self._baseline, *leading)))

    def _cost(self, contestant: Contestant) -> float:
        """Seconds that a round of it takes."""
        return _looked(contestant) * self._job.call_lines / 1e3

    def _rest_of_gate(self, contestant: Contestant) -> float:
        """Seconds that reading the calibration lines it has not read will take."""
        return (len(self._lines) - len(contestant.reading)) * _looked(contestant) / 1e3

    def _tell(self, doing: str, contestant: Contestant, done: int, total: int) -> None:
        able = [one for one in self._all if one.look is not None and not one.rejected and self._passes(one)]
        leader = min(able, key=_looked).setup.name if able else ""
        self._watcher(Step(doing, contestant.setup.name, done, total, leader, self._budget.left()))


def _looked(contestant: Contestant) -> float:
    assert contestant.look is not None  # noqa: S101 - it was timed
    return contestant.look


def _candidate(contestant: Contestant) -> Candidate:
    assert isinstance(contestant.setup, Candidate)  # noqa: S101 - a pair is made of two, and tried last
    return contestant.setup


def _verifiable(contestant: Contestant) -> bool:
    """Whether it may be verified: margins tell of arithmetic, not of what another width shows the network."""
    setup = contestant.setup
    return isinstance(setup, Candidate) and setup.same_widths and not setup.same_text


def _leave_behind(contestant: Contestant, after: str, behind: float) -> None:
    contestant.leave(f"left after {after}, {behind:.2f} times as slow as the quickest then")
