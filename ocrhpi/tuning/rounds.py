"""The trials of a tuning, from screening to the last round."""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from ocrhpi.config.candidate import Candidate
from ocrhpi.measuring.statistic import MIN_ROUNDS
from ocrhpi.recognition.geometry import line_geometry
from ocrhpi.tuning.choose import choose
from ocrhpi.tuning.gate import compare, failure, known_lines, passes
from ocrhpi.tuning.progress import Step
from ocrhpi.tuning.rows import Row
from ocrhpi.tuning.trial import SCORE_TOLERANCE, Job, Rejected, Trial
from ocrhpi.tuning.verification import best_verified

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from ocrhpi.config.candidate import ExecutionPlan, Verified
    from ocrhpi.config.objective import Objective
    from ocrhpi.tuning.calibration import CalibrationSet
    from ocrhpi.tuning.gate import ReadLine
    from ocrhpi.tuning.progress import Budget, Effort, OnProgress
    from ocrhpi.values import Pixels

_FIRST_GATE = 32  # lines that a candidate reads before it is timed; the others follow if it is worth it
_FAR_BEHIND = 1.5
_HOPELESS = 3.0  # times as slow: more than another precision of the same engine gains
_FAILED_ENOUGH = 2  # of an engine at a precision, before the others of it are given up, too
_MEETING_S = 1.0  # what meeting the shapes of the rounds takes, about
_STREAM_LINES, _STREAM_SHARE = 300, 0.08  # that a pair is judged by, and the share of the budget they may take
_VERIFIED_SHARE = 0.75  # of the budget, after which a pair has no time to prove itself
_HALVING = (3, 6)  # after so many rounds the slower half leaves
_MIN_CALL, _MAX_ALONE = 8, 24  # lines of a round; where they come one a call
_MIN_PART = 4  # lines that normal mode reads of a round


class Rounds:
    """The trials, from screening to the last round; the methods are called in the order they stand in.

    Args:
        job: What all trials share.
        calibration: The lines they read.
        objective: Which text will do.
        budget: Time for all of it.
        effort: How much is measured.
        on_progress: Is told of every step.
        rng: Decides the order within rounds.
    """

    def __init__(
        self,
        job: Job,
        calibration: CalibrationSet,
        objective: Objective,
        budget: Budget,
        effort: Effort,
        on_progress: OnProgress,
        rng: random.Random,
    ) -> None:
        lines = known_lines(((line.name, line.text) for line in calibration.lines), job.model.labels)
        # Those that decide come first: a quick look, and a slow model, get no further.
        order = sorted(range(len(lines)), key=lambda number: not lines[number].decides)[: effort.most_lines]
        self._job = replace(job, order=tuple(order))
        self._lines = [lines[number] for number in order]
        self._widths = [self._width(calibration.lines[number].pixels) for number in order]
        self._stream = calibration.stream(job.model.spec)
        self._objective = objective
        self._budget = budget
        self._effort = effort
        self._watcher = on_progress
        self._rng = rng
        self._all: list[Trial] = []
        self._ahead: Trial | None = None

    def _width(self, line: Pixels) -> int:
        height, width = line.shape[:2]
        return line_geometry(width, height, self._job.model.spec).padded_width

    @property
    def _baseline(self) -> Trial:
        return self._all[0]

    def start_baseline(self, candidate: Candidate, first: Candidate | None = None) -> None:
        """Read the lines in normal mode: the reference of the gate; of a slow model, those that time allows.

        Args:
            candidate: Normal mode.
            first: What is screened first; its graphs are exported while normal mode is loaded and reads.
        """
        baseline = Trial(candidate, self._job, 0, baseline=True)
        self._all.append(baseline)
        self._tell("reading the reference", baseline, 0, 1)
        with ThreadPoolExecutor(1) as meanwhile:
            if first is not None:
                self._ahead = Trial(first, self._job, 1)
                self._ahead.spawn()
                meanwhile.submit(self._prepare_ahead, self._ahead)
            self._read_reference(baseline)
        baseline.time_screening(None)
        self._afford(_screening_ms(baseline))  # once more, with nothing else running
        self._judge(baseline)

    def _read_reference(self, baseline: Trial) -> None:
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
        most = self._effort.call_lines if self._objective.goal == "throughput" else _MAX_ALONE
        self._job = replace(self._job, call_lines=min(most, max(_MIN_CALL, affordable)))
        for trial in self._all:
            trial.job = self._job

    def _set_pace(self) -> None:
        """Let the best decide how many lines a round reads; of them normal mode, if it is slow, reads a part."""
        if self._effort.careful:
            self._afford(self._best_screening_ms())
        share = 1e3 * self._effort.round_share * self._budget.seconds
        every = round(1e3 * self._cost(self._baseline) / share)
        self._baseline.every = min(max(1, every), self._job.call_lines // _MIN_PART)

    def _prepare_ahead(self, trial: Trial) -> None:
        try:
            trial.prepare()
        except Rejected as error:
            trial.reject(error)

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
        best = self._best_screening_ms()
        round_s = min(self._cost(self._baseline), self._effort.round_share * self._budget.seconds)
        left = self._budget.left() - MIN_ROUNDS * round_s
        some = min(1, self._effort.others)
        places = {"leads": self._effort.kept, "verifiable": some, "other": some}
        for trial in sorted(self._active(), key=_screening_ms):
            place = "leads" if self._leads(trial) else "verifiable" if _verifiable(trial) else "other"
            left -= MIN_ROUNDS * self._cost(trial) + self._rest_of_gate(trial) + _MEETING_S
            behind = _screening_ms(trial) / best
            fits = left > 0 or (place == "leads" and places[place] == self._effort.kept)
            if behind > _FAR_BEHIND or not fits or not places[place]:
                _leave_behind(trial, "screening", behind)
            else:
                places[place] -= 1

    def finish_gates(self) -> None:
        """Meet the shapes of the rounds, whose first sight can be timed now; then read the other calibration lines."""
        self._set_pace()
        active = sorted(self._active(), key=_screening_ms)
        for place, trial in enumerate(active):
            self._meet(trial)
            self._tell("reading all lines", trial, place, len(active))
            self._attempt(trial, self._finish_gate)

    def try_verified(self) -> None:
        """Let one enter that may change text, with its doubtful lines read again, if that promises to be quickest."""
        able = [one for one in (self._baseline, *self._active()) if one.setup.lossless and self._passes(one)]
        lows = [one for one in self._active() if _verifiable(one) and not self._passes(one)]
        if not (able and lows and self._budget.left(_VERIFIED_SHARE)):
            return
        verified = self._best_pair(lows, min(able, key=_screening_ms))
        if verified is not None:
            self._look(verified, 0, 1)
            self._meet(self._all[-1])
            self._attempt(self._all[-1], self._finish_gate)

    def _best_pair(self, lows: Sequence[Trial], full: Trial) -> Verified | None:
        """Compare them on the calibration lines and on a part of the stream: of few lines few change."""
        share = 1e3 * _STREAM_SHARE * self._budget.seconds
        lines = min(_STREAM_LINES, round(share / sum(map(_screening_ms, (full, *lows)))))
        read: dict[Trial, list[ReadLine]] = {}
        for one in (full, *lows):
            self._tell("reading the stream", one, len(read), 1 + len(lows))
            self._attempt(one, lambda one: read.update({one: one.read_stream(lines, self._baseline)}))
        if full not in read:
            return None
        expected = [*self._deciding(self._baseline.reading), *read[full]]
        tried = [(one, [*self._deciding(one.reading), *read[one]]) for one in lows if one in read]
        return best_verified(
            [(_candidate(one), _screening_ms(one), own) for one, own in tried],
            (_candidate(full), _screening_ms(full)),
            expected,
            [width for width, line in zip(self._widths, self._lines, strict=False) if line.decides]
            + [self._width(line) for line in self._stream.part(0, lines)],
        )

    def run_rounds(self) -> None:
        """Time all that are left, in random order in each round, while the budget lasts; the slower half leaves."""
        others = sorted((one for one in self._active() if not self._leads(one)), key=_screening_ms)
        for trial in others[1:]:  # one is enough to say what another policy would give
            _leave_behind(trial, "screening", _screening_ms(trial) / self._best_screening_ms())
        for number in range(self._effort.rounds):
            active = [self._baseline, *self._active()]
            if number >= MIN_ROUNDS and (not self._budget.left() or self._converged(number)):
                break
            self._rng.shuffle(active)
            for trial in active:
                self._tell("timing", trial, number, self._effort.rounds)
                self._attempt(trial, lambda one: one.time_round(number, self._baseline))  # noqa: B023 - at once
                if self._bounded:
                    self._attempt(trial, lambda one: one.time_latency(number, self._baseline))  # noqa: B023
            if number + 1 in _HALVING:
                self._halve(number + 1)

    def rows(self) -> list[Row]:
        """Return the rows, the baseline first."""
        return [trial.row() for trial in self._all]

    def close(self) -> None:
        """End all processes."""
        for trial in (*self._all, *([self._ahead] if self._ahead else [])):
            trial.close()

    def _active(self) -> list[Trial]:
        """Those of the candidates that are still in it."""
        return [trial for trial in self._all[1:] if trial.active]

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
            quickest = min(seen, key=_screening_ms, default=None)
            behind = _screening_ms(quickest) / self._best_screening_ms() if quickest else 0.0
            if quickest and behind > limit:
                who = f"{quickest.setup.name!r}, of the same {what},"
                return f"screened out: {who} was {behind:.2f} times as slow as the quickest then"
        others = [one for one in self._all[1:] if not one.setup.lossless and not one.rejected]
        if self._objective.accuracy == "identical" and not candidate.lossless and len(others) >= self._effort.others:
            return "screened out: it may change text, which the policy forbids, and enough of its like were looked at"
        return ""

    def _look(self, setup: ExecutionPlan, number: int, total: int) -> None:
        trial = Trial(setup, self._job, len(self._all))
        if self._ahead is not None and self._ahead.setup == setup:
            trial, self._ahead = self._ahead, None
            trial.job = self._job
        self._all.append(trial)
        self._tell("screening", trial, number, total)

        def look(one: Trial) -> None:
            one.start(self._baseline)
            one.read_to(min(_FIRST_GATE, len(self._lines)), self._baseline)
            self._judge(one)
            if self._effort.careful:
                one.read_shuffled(self._baseline)
            one.time_screening(self._baseline)

        self._attempt(trial, look)
        if trial.active:
            behind = _screening_ms(trial) / self._best_screening_ms()
            if not self._passes(trial) and behind > 1:
                assert trial.gate is not None  # noqa: S101 - it was judged
                trial.leave(f"{failure(self._objective.accuracy, trial.gate)}, and it is not quicker")
            elif behind > _FAR_BEHIND:
                _leave_behind(trial, "screening", behind)

    def _attempt(self, trial: Trial, step: Callable[[Trial], None]) -> None:
        """Do a step; a candidate that fails is a row, a baseline that fails ends the tuning."""
        if trial.reason:
            return
        try:
            step(trial)
        except Rejected as error:
            if trial.baseline:
                raise
            trial.reject(error)

    @property
    def _bounded(self) -> bool:
        """Whether the latency is measured besides."""
        return self._objective.max_latency_ms is not None and self._objective.goal == "throughput"

    def _meet(self, trial: Trial) -> None:
        if self._effort.careful:
            self._tell("meeting shapes", trial, 0, 1)
            self._attempt(trial, lambda one: one.meet_shapes(_HALVING[-1], self._baseline, alone=self._bounded))

    def _finish_gate(self, trial: Trial) -> None:
        trial.read_to(len(self._lines), self._baseline)
        self._judge(trial)

    def _judge(self, trial: Trial) -> None:
        """Compare what was read so far with the reference.

        Raises:
            Rejected: The scores differ by more than the precision that it reports can explain.
        """
        read = trial.reading
        reference = self._baseline.reading[: len(read)]
        trial.gate = compare(self._lines[: len(read)], reference, read, self._job.model.labels)
        if trial.setup.lossless and trial.gate.score_difference > SCORE_TOLERANCE:
            raise Rejected(
                f"asked for fp32, but its scores differ from normal mode's by up to "
                f"{trial.gate.score_difference:.2g}, more than FP32 arithmetic explains ({SCORE_TOLERANCE:g}): it "
                "runs a lower precision than it reports"
            )

    def _halve(self, rounds: int) -> None:
        """Let the slower half leave; of those that need another policy, the ones that are not quicker than the rest."""
        times = {one: statistics.median(one.samples) + one.first_sight_ms for one in self._active()}
        passing = sorted((one for one in self._active() if self._passes(one)), key=lambda one: times[one])
        others = [one for one in self._active() if one not in passing]
        if not passing:
            return
        leader = times[passing[0]]
        for trial in (*passing[max(2, (len(passing) + 1) // 2) :], *others):
            behind = times[trial] / leader
            if trial in passing or behind > 1:
                _leave_behind(trial, f"{rounds} rounds", behind)

    def _converged(self, rounds: int) -> bool:
        """Whether more rounds would change nothing."""
        return rounds > _HALVING[-1] and choose(self.rows(), self._objective).decided

    def _passes(self, trial: Trial) -> bool:
        return trial.gate is not None and passes(self._objective.accuracy, trial.gate)

    def _deciding(self, reading: Sequence[ReadLine]) -> list[ReadLine]:
        return [read for read, line in zip(reading, self._lines, strict=True) if line.decides]

    def _leads(self, trial: Trial) -> bool:
        """Whether others are held against it: what may change text must have read all lines well where none may."""
        surely = trial.setup.lossless or len(trial.reading) == len(self._lines)
        return self._passes(trial) and (surely or self._objective.accuracy != "identical")

    def _best_screening_ms(self) -> float:
        """Milliseconds per line at screening of the quickest that leads; normal mode always does."""
        leading = (one for one in self._active() if self._leads(one))
        return min(map(_screening_ms, (self._baseline, *leading)))

    def _cost(self, trial: Trial) -> float:
        """Seconds that a round of it takes."""
        return _screening_ms(trial) * self._job.call_lines / 1e3

    def _rest_of_gate(self, trial: Trial) -> float:
        """Seconds that reading the calibration lines it has not read will take."""
        return (len(self._lines) - len(trial.reading)) * _screening_ms(trial) / 1e3

    def _tell(self, doing: str, trial: Trial, done: int, total: int) -> None:
        able = [one for one in self._all if one.look is not None and not one.rejected and self._passes(one)]
        leader = min(able, key=_screening_ms).setup.name if able else ""
        self._watcher(Step(doing, trial.setup.name, done, total, leader, self._budget.left()))


def _screening_ms(trial: Trial) -> float:
    assert trial.look is not None  # noqa: S101 - it was timed
    return trial.look


def _candidate(trial: Trial) -> Candidate:
    assert isinstance(trial.setup, Candidate)  # noqa: S101 - a pair is made of two, and tried last
    return trial.setup


def _verifiable(trial: Trial) -> bool:
    """Whether it may be verified: margins tell of arithmetic, not of what another width shows the network."""
    setup = trial.setup
    return isinstance(setup, Candidate) and setup.lossless_batching and not setup.lossless


def _leave_behind(trial: Trial, after: str, behind: float) -> None:
    trial.leave(f"left after {after}, {behind:.2f} times as slow as the quickest then")
