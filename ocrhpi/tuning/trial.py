"""One candidate in its own process: started, read with, timed, and written down as a row."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from ocrhpi.config.candidate import Verified
from ocrhpi.tuning.gate import ReadLine
from ocrhpi.tuning.rows import PROMISED_LINES, Row
from ocrhpi.workers.process import WorkerProcess, WorkerProcessFailed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ocrhpi.config.candidate import ExecutionPlan
    from ocrhpi.config.objective import Goal
    from ocrhpi.model import Model
    from ocrhpi.tuning.rows import GateResult, Passing

SCORE_TOLERANCE = 2e-3
"""Largest difference of a line's score that FP32 arithmetic explains. The engines differ by up to 1e-4 on real lines,
conversion makes up to 6e-4 on the deepest official model; BF16 differs by about 1e-2."""

_DOING = {
    "prepare": "exporting",
    "load": "loading",
    "texts": "reading",
    "stream_texts": "reading",
    "time_stream": "reading",
    "meet": "meeting shapes",
    "time_engine": "running the engine",
    "memory": "asking for its memory",
}
_PREPARE_S = 300.0  # conversion and verification of a large model
_LOAD_S = 60.0
_LOAD_GPU_S = 900.0  # compiling an engine for a GPU takes minutes, once
_SLOWEST = 10.0  # times as slow as normal mode: what takes longer hangs
_MIN_LIMIT_S = 10.0
_UNKNOWN_LIMIT_S = 600.0
_SETTLED = 0.95
_SHUFFLED = 32  # lines that are read twice, in different batches
_ROUNDS_FROM = 100_000  # place in the stream; what is before is for screening

# The parent's module search path, so that the child finds the same package and the same plug-ins.
_PROGRAM = "import sys; sys.path[:] = {path!r}; from ocrhpi.tuning.worker import main; main()"


class Rejected(Exception):
    """A candidate failed, or runs otherwise than it was asked to.

    Args:
        reason: Why; a sentence.
        passing: Whether that may be gone the next time, see `ocrhpi.tuning.rows.Passing`.
        died: Whether its process ended by itself.
    """

    def __init__(self, reason: str, passing: str = "", *, died: bool = False) -> None:
        super().__init__(reason)
        self.passing = cast("Passing", passing)
        self.died = died


@dataclass(frozen=True)
class Job:
    """What all trials share.

    Attributes:
        model: The model.
        calibration_dir: The user's lines, see `ocrhpi.tuning.calibration.load_calibration`.
        cache_dir: Where exports are kept.
        goal: Which kind of call is timed.
        call_lines: Lines of the stream that a round reads.
        passes: Passes of a first look at most.
        repeats: Whether all rounds read the part that was read at screening, whose shapes are met then.
        order: Numbers of the calibration lines in the order in which they are read; empty: as they are.
        logs: Directory for what the processes print.
    """

    model: Model
    calibration_dir: str | None
    cache_dir: Path | None
    goal: Goal
    call_lines: int
    logs: Path
    passes: int = 3
    repeats: bool = False
    order: tuple[int, ...] = ()

    def part(self, number: int) -> tuple[int, int]:
        """Return from where to where round ``number`` reads the stream, in lines."""
        if self.repeats:
            return 0, self.call_lines
        return _ROUNDS_FROM + number * self.call_lines, _ROUNDS_FROM + (number + 1) * self.call_lines


@dataclass(eq=False)
class Trial:
    """A candidate while it is measured.

    Attributes:
        setup: The candidate.
        job: What all share.
        number: Its number, for the name of its log.
        baseline: Whether it is normal mode.
        reading: What it read on the calibration lines so far.
        gate: How that compares with the reference.
        remarks: What is to be known of it although it decides nothing.
        look: Milliseconds per line at screening.
        samples: The same in each round.
        first_sight_ms: As in `ocrhpi.tuning.rows.Row`.
        latency: As ``samples``, of one line a call, where that is asked for besides.
        first_round: Number of the round of its first sample.
        every: Of a round it reads every so many lines, by width, which have about the same mix of widths.
        reason: Why it was rejected, or left the rounds; empty while it takes part.
        passing: Whether that reason may be gone the next time.
        rejected: Whether it failed, or ran otherwise than asked.
        peak_mib: Largest resident set of its process in MiB.
    """

    setup: ExecutionPlan
    job: Job
    number: int
    baseline: bool = False
    reading: list[ReadLine] = field(default_factory=list)
    gate: GateResult | None = None
    remarks: list[str] = field(default_factory=list)
    look: float | None = None
    samples: list[float] = field(default_factory=list)
    first_sight_ms: float = 0.0
    latency: list[float] = field(default_factory=list)
    first_round: int = 0
    every: int = 1
    reason: str = ""
    passing: Passing = ""
    rejected: bool = False
    peak_mib: float | None = None
    _facts: dict[str, Any] = field(default_factory=dict)
    _child: WorkerProcess | None = None
    _prepared: bool = False

    @property
    def active(self) -> bool:
        """Whether its process lives and it was neither rejected nor left behind."""
        return self._child is not None and not self.reason

    def spawn(self) -> None:
        """Start the process, which ends with the thread that starts it."""
        command = [sys.executable, "-c", _PROGRAM.format(path=sys.path)]
        self._child = WorkerProcess(command, self.job.logs / f"{self.number}.log")

    def prepare(self) -> None:
        """Export what is missing; may run while others read, but not while they are timed.

        Raises:
            Rejected: It could not.
        """
        self._ask(
            "prepare",
            _PREPARE_S,
            source=self.job.model.source.model_dump(mode="json"),
            setup=self.setup.model_dump(mode="json"),
            calibration_dir=self.job.calibration_dir,
            cache_dir=None if self.job.cache_dir is None else str(self.job.cache_dir),
        )
        self._prepared = True

    def start(self, baseline: Trial | None) -> None:
        """Prepare, if that is not done; load the engine, read a line, and check what really runs.

        Raises:
            Rejected: It could not, or runs otherwise than asked.
        """
        if self._child is None:
            self.spawn()
        if not self._prepared:
            self.prepare()
        on_gpu = (getattr(self.setup, "device", None) or "cpu").startswith("gpu")
        self._facts = self._ask("load", _LOAD_GPU_S if on_gpu else _LOAD_S)
        self._check_effective(self._facts["effective"])
        self._facts["first_call_ms"] = self._time((0, 1), baseline, alone=True)

    def read_to(self, stop: int, baseline: Trial | None) -> None:
        """Read the calibration lines up to ``stop``, those that were not read yet.

        Raises:
            Rejected: It failed.
        """
        numbers = self._numbers(range(len(self.reading), stop))
        if numbers:
            read = self._ask(
                "texts", self._limit(len(numbers), baseline), numbers=numbers, margins=not self.setup.lossless
            )
            self.reading += [ReadLine(text, score, margin) for text, score, margin in read]
        self.peak_mib = self._ask("memory", _MIN_LIMIT_S)

    def read_stream(self, lines: int, baseline: Trial | None) -> list[ReadLine]:
        """Return what it reads on the first lines of the stream.

        Raises:
            Rejected: It failed.
        """
        read = self._ask("stream_texts", self._limit(lines, baseline), stop=lines, margins=not self.setup.lossless)
        return [ReadLine(text, score, margin) for text, score, margin in read]

    def read_shuffled(self, baseline: Trial | None) -> None:
        """Read the first lines again beside other lines: text that depends on the batch is a fault, or a remark.

        That the text of a line depends on that line alone is a promise of what computes in FP32 and of what verifies.
        A low precision may round a line otherwise beside others.

        Raises:
            Rejected: It failed, or broke that promise.
        """
        places = list(range(min(_SHUFFLED, len(self.reading))))
        random.Random(0).shuffle(places)  # noqa: S311 - not for secrets
        read = self._ask("texts", self._limit(len(places), baseline), numbers=self._numbers(places), margins=False)
        pairs = [(self.reading[place].text, text) for place, (text, _, _) in zip(places, read, strict=True)]
        differing = [pair for pair in pairs if pair[0] != pair[1]]
        if not differing:
            return
        told = f"it read {differing[0][0]!r} and, beside other lines, {differing[0][1]!r} on the same line"
        if self.setup.lossless or isinstance(self.setup, Verified):
            raise Rejected(told)
        self.remarks.append(f"{len(differing)} of {len(places)} texts depend on the lines beside them: {told}")

    def time_screening(self, baseline: Trial | None) -> None:
        """Time a part of the stream until it gets no faster, a few times at most; keep the fastest pass.

        Where shapes have no end, each pass reads another part, so that widths are new in all of them; where they have,
        they are met before, by all requests.

        Raises:
            Rejected: It failed.
        """
        lines = self.job.call_lines
        passes: list[float] = []
        endless = self._facts["endless_shapes"]
        if not endless:
            self._meet([(0, lines)], self._limit(2 * lines, baseline))
        while len(passes) < self.job.passes:
            start = len(passes) * lines if endless else 0
            passes.append(self._time((start, start + lines), baseline))
            if len(passes) > 1 and passes[-1] > _SETTLED * passes[-2]:
                break
        self.look = min(passes)

    def meet_shapes(self, rounds: int, baseline: Trial | None, *, alone: bool = False) -> None:
        """Meet the shapes of so many rounds, so that these run at the pace of a stream that has gone on for long.

        What that costs is spread over the first lines of a stream, and added to the times of the rounds.

        Args:
            rounds: How many.
            baseline: As elsewhere.
            alone: Also meet those of one line a call, which does not count.

        Raises:
            Rejected: It failed.
        """
        if not self._facts["endless_shapes"]:
            parts = [self.job.part(number) for number in range(rounds)]
            limit = self._limit(2 * rounds * self.job.call_lines, baseline)
            self.first_sight_ms = self._meet(parts, limit) / PROMISED_LINES
            if alone:
                self._ask("meet", limit, parts=parts, alone=True)

    def time_round(self, number: int, baseline: Trial | None) -> None:
        """Time the part of the stream that round ``number`` reads.

        Raises:
            Rejected: It failed.
        """
        sample = self._time(self.job.part(number), baseline, every=self.every)
        if not self.samples:
            self.first_round = number
        self.samples.append(sample)

    def time_latency(self, number: int, baseline: Trial | None) -> None:
        """Time the same part, one line a call.

        Raises:
            Rejected: It failed.
        """
        self.latency.append(self._time(self.job.part(number), baseline, alone=True, every=self.every))

    def time_engine(self, calls: int, lines: int = 1) -> list[float]:
        """Return the milliseconds per line of calls of the engine alone, with ``lines`` of the model's base width.

        Raises:
            Rejected: It failed.
        """
        spec = self.job.model.spec
        width = spec.stretch_width or spec.base_width
        times: list[float] = self._ask("time_engine", _UNKNOWN_LIMIT_S, width=width, calls=calls, lines=lines)
        return times

    def reject(self, error: Rejected) -> None:
        """Take it out of the rounds as one that failed."""
        self.rejected = True
        self.passing = error.passing
        self.leave(str(error))

    def leave(self, reason: str) -> None:
        """Take it out of the rounds."""
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
            passing=self.passing,
            baseline=self.baseline,
            gate=self.gate,
            effective=self._facts.get("effective"),
            load_s=self._facts.get("load_s"),
            first_call_ms=self._facts.get("first_call_ms"),
            peak_mib=self.peak_mib,
            remarks=tuple(self.remarks),
            look=self.look,
            first_round=self.first_round,
            samples=tuple(self.samples),
            first_sight_ms=self.first_sight_ms,
            latency=tuple(self.latency),
        )

    def _numbers(self, places: Iterable[int]) -> list[int]:
        """Return the numbers of the calibration lines in these places of the order of reading."""
        return [self.job.order[place] if self.job.order else place for place in places]

    def _time(self, part: tuple[int, int], baseline: Trial | None, *, alone: bool = False, every: int = 1) -> float:
        start, stop = part
        asked = {"start": start, "stop": stop, "alone": alone or self.job.goal == "latency", "every": every}
        ms: float = self._ask("time_stream", self._limit(stop - start, baseline), **asked)
        return ms

    def _meet(self, parts: list[tuple[int, int]], limit: float) -> float:
        """Meet the shapes of parts of the stream; return milliseconds that meeting all that can come takes."""
        cost: float = self._ask("meet", limit, parts=parts, alone=self.job.goal == "latency")
        return cost

    def _limit(self, lines: int, baseline: Trial | None) -> float:
        """Seconds that reading so many lines may take."""
        if baseline is None or baseline.look is None:
            return _UNKNOWN_LIMIT_S
        return max(_MIN_LIMIT_S, _SLOWEST * lines * baseline.look / 1e3)

    def _ask(self, command: str, limit: float, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
        assert self._child is not None  # noqa: S101 - started, and active
        try:
            return self._child.ask(command, limit, **arguments)
        except WorkerProcessFailed as error:
            raise Rejected(f"{_DOING[command]}: {error.reason}", error.passing, died=error.died) from None

    def _check_effective(self, effective: dict[str, Any]) -> None:
        if effective["precision"] != self.setup.precision:
            raise Rejected(f"asked for {self.setup.precision}, it runs {effective['precision']}")
        device = getattr(self.setup, "device", None)
        if device is not None and effective["device"] != device:
            raise Rejected(f"asked for {device}, it runs on {effective['device']}")
