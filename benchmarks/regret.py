"""How much is lost by the choice: the winner of a tuning against the best of the whole grid, on a stream it never saw.

    python -m benchmarks.regret FOLDER -o DIR [--models NAME ...] [--objectives throughput latency]

FOLDER holds images of single lines. The stream is made of them, each time stretched in width by a random factor, and is
read in calls of 64 lines, or one line a call for latency. For each model and objective:

1. tunings, thorough and quick, for each policy, on the shipped lines;
2. every candidate of the grid reads the first 384 lines, in a process of its own; those that are not far behind read
   all shipped lines through the gate;
3. those that come near the best that a policy lets pass, and all winners, read on to ``--lines``, in turns of 8 calls
   in random order, one process at a time.

Regret is 1 - (speed of the winner / speed of the best that the policy lets pass). ``DIR/regret.json`` has the raw
times, ``DIR/regret.md`` the table.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from ocrhpi.config.hpi_config import read_hpi_config
from ocrhpi.config.objective import Goal
from ocrhpi.loader import find_model
from ocrhpi.machine import describe_machine
from ocrhpi.tuner import plan, tune
from ocrhpi.tuning.calibration import load_calibration
from ocrhpi.tuning.gate import compare, known_lines, passes
from ocrhpi.tuning.trial import Job, Rejected, Trial

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ocrhpi.config.candidate import ExecutionPlan
    from ocrhpi.model import Model
    from ocrhpi.tuning.cache import Tuning
    from ocrhpi.tuning.gate import ReadLine
    from ocrhpi.tuning.rows import GateResult

POLICIES = ("identical", "no-loss")
MODES = ("thorough", "quick")
_CALL = 64
_FIRST_CALLS = 6
_TURN = 8  # calls of one process before it is another's turn


@dataclass
class Runner:
    """One setup on the stream.

    Attributes:
        setup: The setup.
        trial: Its process.
        gate: How it reads the shipped lines; None where it failed.
        reason: Why it failed; empty if it did not.
        reading: What it read on the shipped lines.
    """

    setup: ExecutionPlan
    trial: Trial
    gate: GateResult | None = None
    reason: str = ""
    reading: list[ReadLine] = field(default_factory=list)

    @property
    def ms(self) -> float:
        """Milliseconds per line over all calls so far, first sight included."""
        return statistics.fmean(self.trial.samples)

    def attempt(self, calls: range) -> None:
        """Read these calls of the stream."""
        try:
            for number in calls:
                self.trial.time_round(number, None)
        except Rejected as error:
            self.reason = str(error)
            self.trial.close()


@dataclass(frozen=True)
class Outcome:
    """What one tuning chose, against the best.

    Attributes:
        model: Name of the model.
        goal: Objective.
        policy: Policy of accuracy.
        mode: ``thorough`` or ``quick``.
        seconds: That the tuning took.
        winner: Name of the winner.
        best: Name of the best that the policy lets pass.
        regret: 1 - speed of the winner / speed of the best; below 0 where the winner, verified, is not in the grid.
        over_normal: How many times as fast as normal mode the winner is on the first calls.
        changed: Lines of the folder whose text is not that of normal mode.
    """

    model: str
    goal: str
    policy: str
    mode: str
    seconds: float
    winner: str
    best: str
    regret: float
    over_normal: float
    changed: int


class Study:
    """One model and one objective.

    Args:
        model: The model.
        goal: The objective.
        folder: The lines of the stream.
        lines: Length of the stream.
        budget: Seconds of a thorough tuning.
        near: Setups that take up to so many times the time of the best read the whole stream.
        logs: Directory for what the processes print.
    """

    def __init__(
        self, model: Model, goal: Goal, folder: Path, *, lines: int, budget: float, near: float, logs: Path
    ) -> None:
        self.model = model
        self.goal: Goal = goal
        self.folder = folder
        self.calls = lines // _CALL
        self.budget = budget
        self.near = near
        self.job = Job(model, str(folder), None, goal, _CALL, logs)
        self.runners: dict[str, Runner] = {}
        self._stack = ExitStack()

    def run(self) -> list[Outcome]:
        """Return an outcome for each policy and mode."""
        tunings = {(policy, mode): self._tuned(policy, mode) for policy in POLICIES for mode in MODES}
        planned = plan(self.model, read_hpi_config({"objective": self.goal}), "cpu")
        baseline = planned.grid.baseline
        winners = [tuning.setups[0] for tuning in tunings.values()]
        with self._stack:
            for setup in (baseline, *planned.grid.candidates, *winners):
                if setup.name not in self.runners:
                    self._start(setup)
            shipped = self._gates(baseline)
            kept = self._near(shipped, winners)
            self._read_on(kept)
            return [self._outcome(key, tuning, baseline, kept) for key, tuning in tunings.items()]

    def _tuned(self, policy: str, mode: str) -> Tuning:
        config = read_hpi_config({"objective": self.goal, "accuracy": policy, "budget_s": self.budget})
        _say(f"{self.model.name}, {self.goal}, {policy}: {mode} tuning")
        return tune(plan(self.model, config, "cpu"), quick=mode == "quick")

    def _start(self, setup: ExecutionPlan) -> None:
        _say(f"{self.model.name}, {self.goal}: {setup.name}")
        trial = Trial(setup, self.job, len(self.runners))
        runner = self.runners[setup.name] = Runner(setup, trial)
        self._stack.callback(trial.close)
        try:
            trial.start(None)
            trial.read_to(len(load_calibration(self.folder).lines), None)
        except Rejected as error:
            runner.reason = str(error)
            trial.close()
            return
        runner.attempt(range(_FIRST_CALLS))

    def _gates(self, baseline: ExecutionPlan) -> list[Runner]:
        """Judge by the shipped lines, each setup in another process; return those that run."""
        calibration = load_calibration()
        lines = known_lines(((line.name, line.text) for line in calibration.lines), self.model.labels)
        running = [runner for runner in self.runners.values() if not runner.reason and self._counts(runner)]
        job = Job(self.model, None, None, self.goal, _CALL, self.job.logs / "gates")
        for number, runner in enumerate(running):
            judge = Trial(runner.setup, job, number)
            try:
                judge.start(None)
                judge.read_to(len(lines), None)
                runner.reading = judge.reading
            except Rejected as error:
                runner.reason = str(error)
            finally:
                judge.close()
        reference = self.runners[baseline.name].reading
        for runner in running:
            if not runner.reason:
                runner.gate = compare(lines, reference, runner.reading, self.model.labels)
        return [runner for runner in running if not runner.reason]

    def _counts(self, runner: Runner) -> bool:
        """Whether it is normal mode, or quick enough to be the best under some policy, or near it."""
        lossless = [one.ms for one in self.runners.values() if one.setup.lossless and not one.reason]
        return runner is next(iter(self.runners.values())) or runner.ms <= self.near * min(lossless)

    def _near(self, running: Sequence[Runner], winners: Sequence[ExecutionPlan]) -> list[Runner]:
        names = {setup.name for setup in winners}
        for policy in POLICIES:
            able = [runner for runner in running if _able(runner, policy)]
            best = min(runner.ms for runner in able)
            names |= {runner.setup.name for runner in able if runner.ms <= self.near * best}
        return [runner for runner in running if runner.setup.name in names]

    def _read_on(self, kept: Sequence[Runner]) -> None:
        rng = random.Random(0)  # noqa: S311 - not for secrets
        for start in range(_FIRST_CALLS, self.calls, _TURN):
            _say(f"{self.model.name}, {self.goal}: {start * _CALL} of {self.calls * _CALL} lines, {len(kept)} setups")
            for runner in rng.sample(list(kept), len(kept)):
                if not runner.reason:
                    runner.attempt(range(start, min(start + _TURN, self.calls)))

    def _outcome(
        self, key: tuple[str, str], tuning: Tuning, baseline: ExecutionPlan, kept: Sequence[Runner]
    ) -> Outcome:
        policy, mode = key
        winner, normal = self.runners[tuning.setups[0].name], self.runners[baseline.name]
        best = min((runner for runner in kept if _able(runner, policy)), key=lambda runner: runner.ms)
        own = zip(normal.trial.reading, winner.trial.reading, strict=True)
        first = slice(_FIRST_CALLS)
        return Outcome(
            model=self.model.name,
            goal=self.goal,
            policy=policy,
            mode=mode,
            seconds=tuning.seconds,
            winner=winner.setup.name,
            best=best.setup.name,
            regret=1 - best.ms / winner.ms,
            over_normal=statistics.fmean(normal.trial.samples[first]) / statistics.fmean(winner.trial.samples[first]),
            changed=sum(one.text != other.text for one, other in own),
        )

    def raw(self) -> list[dict[str, Any]]:
        """Return every setup with its times, as plain values."""
        return [
            {
                "name": runner.setup.name,
                "reason": runner.reason,
                "gate": runner.gate and runner.gate.model_dump(mode="json"),
                "ms_per_line": runner.trial.samples,
            }
            for runner in self.runners.values()
        ]


def _able(runner: Runner, policy: str) -> bool:
    return not runner.reason and runner.gate is not None and passes(policy, runner.gate)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield the lines of the table, and the medians below it."""
    titles = ("model", "objective", "policy", "tuning", "s", "winner", "best of the grid", "regret", "over normal mode")
    yield f"| {' | '.join(titles)} | changed |"
    yield "|---|---|---|---|--:|---|---|--:|--:|--:|"
    for one in outcomes:
        yield (
            f"| {one.model} | {one.goal} | {one.policy} | {one.mode} | {one.seconds:.0f} | {one.winner} | {one.best} | "
            f"{one.regret:.1%} | {one.over_normal:.2f}x | {one.changed} |"
        )
    yield ""
    for mode in MODES:
        regrets = [max(0.0, one.regret) for one in outcomes if one.mode == mode]
        yield f"{mode}: median regret {statistics.median(regrets):.1%}, worst {max(regrets):.1%}."


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--models", multiple=True, default=("PP-OCRv4_mobile_rec", "PP-OCRv6_small_rec"), show_default=True)
@click.option("--objectives", multiple=True, type=click.Choice(get_args(Goal)), default=get_args(Goal))
@click.option("--lines", default=3000, show_default=True)
@click.option("--budget", default=60.0, show_default=True, help="Seconds of a thorough tuning.")
@click.option(
    "--near", default=1.2, show_default=True, help="What takes longer than the best by this reads no further."
)
def main(
    folder: Path,
    output: Path,
    models: tuple[str, ...],
    objectives: tuple[Goal, ...],
    **options: Any,  # noqa: ANN401
) -> None:
    """Measure the regret on a stream of the lines in FOLDER."""
    output.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    raw: dict[str, Any] = {"machine": describe_machine(), "options": options, "studies": {}}
    for name in models:
        for goal in objectives:
            with tempfile.TemporaryDirectory(prefix="ocrhpi-") as logs:
                study = Study(find_model(name), goal, folder.absolute(), **options, logs=Path(logs))
                outcomes += study.run()
            raw["studies"][f"{name}, {goal}"] = study.raw()
            raw["outcomes"] = [vars(one) for one in outcomes]
            (output / "regret.json").write_text(json.dumps(raw, indent=1), "utf-8")
            (output / "regret.md").write_text("\n".join(table(outcomes)) + "\n", "utf-8")
    print("\n".join(table(outcomes)))


if __name__ == "__main__":
    main()
