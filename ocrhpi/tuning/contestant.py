"""One candidate in its own process: started, read with, timed, and written down as a row."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ocrhpi.children.child import Child, ChildFailed
from ocrhpi.tuning.gate import ReadLine
from ocrhpi.tuning.rows import Row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ocrhpi.candidate import Setup
    from ocrhpi.model import Model
    from ocrhpi.tuning.question import Goal
    from ocrhpi.tuning.rows import GateResult

__all__ = ["SCORE_TOLERANCE", "Contestant", "Job", "Rejected"]

SCORE_TOLERANCE = 2e-3
"""Largest difference of a line's score that FP32 arithmetic explains. The engines differ by up to 1e-4 on real lines,
conversion makes up to 6e-4 on the deepest official model; BF16 differs by about 1e-2."""

_DOING = {
    "prepare": "exporting",
    "load": "loading",
    "texts": "reading",
    "time_call": "reading",
    "time_lines": "reading",
    "time_engine": "running the engine",
    "memory": "asking for its memory",
}
_PREPARE_S = 300.0  # conversion and verification of a large model
_LOAD_S = 60.0
_LOAD_GPU_S = 900.0  # compiling an engine for a GPU takes minutes, once
_SLOWEST = 10.0  # times as slow as normal mode: what takes longer hangs
_LEAST_LIMIT_S = 10.0
_UNKNOWN_LIMIT_S = 600.0
_SETTLED = 0.95
_WARM_UPS = 3

# The parent's module search path, so that the child finds the same package and the same plug-ins.
_PROGRAM = "import sys; sys.path[:] = {path!r}; from ocrhpi.tuning.worker import main; main()"


class Rejected(Exception):
    """A candidate failed, or runs otherwise than it was asked to; the text is the reason."""


@dataclass(frozen=True)
class Job:
    """What all contestants share.

    Attributes:
        model: The model.
        calibration_dir: The user's lines, see `ocrhpi.tuning.calibration.load_calibration`.
        cache_dir: Where exports are kept.
        goal: Which kind of call is timed.
        sample: For each width range, the numbers of the calibration lines that are timed.
        logs: Directory for what the processes print.
    """

    model: Model
    calibration_dir: str | None
    cache_dir: Path | None
    goal: Goal
    sample: tuple[tuple[int, ...], ...]
    logs: Path


@dataclass(eq=False)
class Contestant:
    """A candidate while it is measured.

    Attributes:
        setup: The candidate.
        job: What all share.
        number: Its number, for the name of its log.
        baseline: Whether it is normal mode.
        reading: What it read on the calibration lines so far.
        gate: How that compares with the reference.
        look: Milliseconds per line in each width range, in the first look.
        samples: The same in each round.
        latency: The same in rounds of one line a call, where these are asked for besides.
        first_round: Number of the round of its first sample.
        reason: Why it was rejected, or left the race; empty while it is in it.
        rejected: Whether it failed, or ran otherwise than asked.
        peak_mib: Largest resident set of its process in MiB.
    """

    setup: Setup
    job: Job
    number: int
    baseline: bool = False
    reading: list[ReadLine] = field(default_factory=list)
    gate: GateResult | None = None
    look: tuple[float | None, ...] = ()
    samples: list[tuple[float | None, ...]] = field(default_factory=list)
    latency: list[tuple[float | None, ...]] = field(default_factory=list)
    first_round: int = 0
    reason: str = ""
    rejected: bool = False
    peak_mib: float | None = None
    _facts: dict[str, Any] = field(default_factory=dict)
    _child: Child | None = None

    @property
    def racing(self) -> bool:
        """Whether its process lives and it was neither rejected nor left behind."""
        return self._child is not None and not self.reason

    def start(self, baseline: Contestant | None) -> None:
        """Start the process, export what is missing, load the engine, read a line; check what really runs.

        Raises:
            Rejected: It could not, or runs otherwise than asked.
        """
        command = [sys.executable, "-c", _PROGRAM.format(path=sys.path)]
        self._child = Child(command, self.job.logs / f"{self.number}.log")
        self._ask(
            "prepare",
            _PREPARE_S,
            model_path=str(self.job.model.path),
            stretch_width=self.job.model.spec.stretch_width,
            setup=self.setup.model_dump(mode="json"),
            calibration_dir=self.job.calibration_dir,
            cache_dir=None if self.job.cache_dir is None else str(self.job.cache_dir),
        )
        on_gpu = (getattr(self.setup, "device", None) or "cpu").startswith("gpu")
        self._facts = self._ask("load", _LOAD_GPU_S if on_gpu else _LOAD_S)
        self._check_effective(self._facts["effective"])
        self._facts["first_call_ms"] = self._ask("time_call", self._limit([0], baseline), numbers=[0])["ms"]

    def read_to(self, stop: int, baseline: Contestant | None) -> None:
        """Read the calibration lines up to ``stop``, those that were not read yet.

        Raises:
            Rejected: It failed.
        """
        start = len(self.reading)
        if start < stop:
            limit = self._limit(range(start, stop), baseline)
            read = self._ask("texts", limit, start=start, stop=stop)
            self.reading += [ReadLine(text, score, margin) for text, score, margin in read]
        self.peak_mib = self._ask("memory", _LEAST_LIMIT_S)

    def take_first_look(self, baseline: Contestant | None) -> None:
        """Time the sample until it gets no faster, at most three times; keep the fastest pass.

        Raises:
            Rejected: It failed, or reads a line differently from one call to the next.
        """
        passes = [self._time_sample(self.job.goal, baseline)]
        while len(passes) < _WARM_UPS:
            passes.append(self._time_sample(self.job.goal, baseline))
            if _total(passes[-1]) > _SETTLED * _total(passes[-2]):
                break
        self.look = min(passes, key=_total)

    def time_round(self, number: int, baseline: Contestant | None) -> None:
        """Time the sample once, for round ``number``.

        Raises:
            Rejected: It failed, or reads a line differently from one call to the next.
        """
        sample = self._time_sample(self.job.goal, baseline)
        if not self.samples:
            self.first_round = number
        self.samples.append(sample)

    def time_latency(self, baseline: Contestant | None) -> None:
        """Time the sample once more, one line a call.

        Raises:
            Rejected: It failed.
        """
        self.latency.append(self._time_sample("latency", baseline))

    def time_engine(self, calls: int, lines: int = 1) -> list[float]:
        """Return the milliseconds per line of calls of the engine alone, with ``lines`` of the model's base width.

        Raises:
            Rejected: It failed.
        """
        spec = self.job.model.spec
        width = spec.stretch_width or spec.base_width
        times: list[float] = self._ask("time_engine", _UNKNOWN_LIMIT_S, width=width, calls=calls, lines=lines)
        return times

    def reject(self, reason: str) -> None:
        """Take it out of the race as one that failed."""
        self.rejected = True
        self.leave(reason)

    def leave(self, reason: str) -> None:
        """Take it out of the race."""
        self.reason = self.reason or reason
        self.close()

    def close(self) -> None:
        """End the process at once; there is nothing to save in it."""
        if self._child is not None:
            self._child.kill()
            self._child.close()
            self._child = None

    def row(self) -> Row:
        """Return what was found out."""
        return Row(
            candidate=self.setup,
            outcome="rejected" if self.rejected else "measured",
            reason=self.reason,
            baseline=self.baseline,
            gate=self.gate,
            effective=self._facts.get("effective"),
            load_s=self._facts.get("load_s"),
            first_call_ms=self._facts.get("first_call_ms"),
            peak_mib=self.peak_mib,
            look=self.look,
            first_round=self.first_round,
            samples=tuple(self.samples),
            latency=tuple(self.latency),
        )

    def _time_sample(self, goal: Goal, baseline: Contestant | None) -> tuple[float | None, ...]:
        return tuple(self._time_range(goal, numbers, baseline) for numbers in self.job.sample)

    def _time_range(self, goal: Goal, numbers: Sequence[int], baseline: Contestant | None) -> float | None:
        if not numbers:
            return None
        command = "time_call" if goal == "throughput" else "time_lines"
        timed = self._ask(command, self._limit(numbers, baseline), numbers=list(numbers))
        for number, text in zip(numbers, timed["texts"], strict=True):
            before = self.reading[number].text if number < len(self.reading) else text
            if text != before:
                raise Rejected(f"it read {before!r} and, beside other lines, {text!r} on the same line")
        return float(timed["ms"])

    def _limit(self, numbers: Sequence[int], baseline: Contestant | None) -> float:
        """Seconds that reading so many lines may take."""
        known = [ms for ms in baseline.look if ms is not None] if baseline else []
        if not known:
            return _UNKNOWN_LIMIT_S
        return max(_LEAST_LIMIT_S, _SLOWEST * len(numbers) * max(known) / 1e3)

    def _ask(self, command: str, limit: float, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
        assert self._child is not None  # noqa: S101 - started, and racing
        try:
            return self._child.ask(command, limit, **arguments)
        except ChildFailed as error:
            raise Rejected(f"{_DOING[command]}: {error.reason}") from None

    def _check_effective(self, effective: dict[str, Any]) -> None:
        if effective["precision"] != self.setup.precision:
            raise Rejected(f"asked for {self.setup.precision}, it runs {effective['precision']}")
        device = getattr(self.setup, "device", None)
        if device is not None and effective["device"] != device:
            raise Rejected(f"asked for {device}, it runs on {effective['device']}")


def _total(times: Sequence[float | None]) -> float:
    return sum(ms for ms in times if ms is not None)
