"""What is timed, and when: probes of all batch sizes, interleaved rounds of the best ones, and first passes.

The stream has probes and rounds of its own: there no line is read twice, for engines compile for each new width.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from benchmarks.peers.records import Record
from benchmarks.peers.systems import Setting
from ocrhpi.workers.process import WorkerProcess, WorkerProcessFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from benchmarks.peers.starter import Starter
    from benchmarks.peers.stream import Stream
    from benchmarks.peers.systems import System

MEASURES = ("throughput", "latency", "first", "stream")


@dataclass(frozen=True)
class Plan:
    """How much is timed.

    Attributes:
        measures: Which of `MEASURES`.
        batches: Batch sizes to choose from.
        probes: Passes that choose the batch size.
        rounds: Interleaved rounds of throughput and latency.
        first_rounds: Fresh processes of each setting that read every line once.
        stream_lines: Lines of a round of the stream; each round reads those that follow.
        stream_rounds: Interleaved rounds of the stream.
        stream_call: Lines of the stream in one call.
        stream_probe_lines: Lines of the stream in each pass that chooses the batch size, where the stream does.
        pause_s: Rest before each timing.
        seed: Of the order within a round.
    """

    measures: tuple[str, ...] = MEASURES
    batches: tuple[int, ...] = (1, 6, 8, 16)
    probes: int = 2
    rounds: int = 7
    first_rounds: int = 3
    stream_lines: int = 1000
    stream_rounds: int = 3
    stream_call: int = 250
    stream_probe_lines: int = 128
    pause_s: float = 0.2
    seed: int = 0

    @property
    def stream_parts(self) -> list[tuple[int, int]]:
        """Where in the stream each round starts and ends."""
        return [(number * self.stream_lines, (number + 1) * self.stream_lines) for number in range(self.stream_rounds)]

    @property
    def stream_probe_parts(self) -> list[tuple[int, int]]:
        """The same of each probe: they come after the rounds, which so meet widths that were not probed."""
        start = self.stream_rounds * self.stream_lines
        starts = [start + number * self.stream_probe_lines for number in range(self.probes)]
        return [(first, first + self.stream_probe_lines) for first in starts]

    def settings_of(self, system: System) -> list[Setting]:
        """Return the settings of the system to choose from."""
        return [Setting(system, batch) for batch in ((1,) if system.own_batch else self.batches)]


class Trials:
    """Runs the phases; one process computes at a time.

    Args:
        starter: Starts workers.
        plan: How much is timed.
    """

    def __init__(self, starter: Starter, plan: Plan) -> None:
        self.starter = starter
        self.plan = plan
        self.load: list[float] = []
        """Load of the machine at the start of each round."""
        self._chance = np.random.default_rng(plan.seed)

    def export(self, systems: Sequence[System]) -> None:
        """Let our systems export what they need: done in a timed process it would count as that one's memory."""
        for system in tqdm([system for system in systems if system.ours], "exporting", unit="system"):
            with suppress(WorkerProcessFailed), ExitStack() as stack:
                self._start([Record(Setting(system, 1))], f"{system.name} export", stack)

    def probe(self, systems: Sequence[System]) -> list[Record]:
        """Read all lines at every batch size, in one worker a system."""
        records = []
        for system in tqdm(systems, "choosing batch sizes", unit="system"):
            of_system = [Record(setting) for setting in self.plan.settings_of(system)]
            records += of_system
            with _failures_of(of_system), ExitStack() as stack:
                worker = self._start(of_system, f"{system.name} probe", stack)
                for record in of_system:
                    with _failures_of([record]):
                        self._probe(worker, record)
        return records

    def probe_stream(self, systems: Sequence[System], stream: Stream) -> list[Record]:
        """Read parts of the stream that no round reads, the same for every batch size, each in a fresh process."""
        records = [Record(setting) for system in systems for setting in self.plan.settings_of(system)]
        with ExitStack() as stack:
            parts = [stack.enter_context(stream.saved(*part)) for part in self.plan.stream_probe_parts]
            for record in tqdm(records, "choosing batch sizes", unit="setting"):
                with _failures_of([record]), ExitStack() as of_record:
                    worker = self._start([record], f"{record.setting.name} stream probe", of_record)
                    for part in parts:
                        seconds, texts = self._stream(worker, record, part)
                        record.probe_s.append(seconds)
                        record.probe_readings.append(texts)
        return records

    def rounds(self, records: Sequence[Record]) -> None:
        """Time throughput and, at batch 1, latency: in each round every live worker once, in random order."""
        with ExitStack() as stack:
            workers = self._workers(records, "rounds", stack)
            self._each(tqdm(records, "warming up", unit="worker"), workers, self._warm_up)
            for _ in tqdm(range(self.plan.rounds), "timing", unit="round"):
                self._round(records, workers, self._time)
            for record, peak in self._peaks(records, workers):
                record.peak_mib = peak

    def stream(self, records: Sequence[Record], stream: Stream) -> None:
        """Time the stream in processes that live over all rounds; each round has lines that none has read before."""
        with ExitStack() as stack:
            workers = self._workers(records, "stream", stack)
            for bounds in tqdm(self.plan.stream_parts, "the stream", unit="round"):
                with stream.saved(*bounds) as part:
                    self._round(records, workers, partial(self._time_stream, part))
            for record, peak in self._peaks(records, workers):
                record.stream_peak_mib = peak

    def first_passes(self, records: Sequence[Record]) -> None:
        """Time the first pass of fresh processes, in interleaved rounds; a blank line was read before."""
        total = self.plan.first_rounds * len(records)
        with tqdm(None, "first passes", total, unit="process") as progress:
            for _ in range(self.plan.first_rounds):
                self.load.append(os.getloadavg()[0])
                for record in self._shuffled(records):
                    progress.update()
                    if not record.failure:
                        with _failures_of([record]), ExitStack() as stack:
                            self._first_pass(self._start([record], f"{record.setting.name} first", stack), record)

    def _probe(self, worker: WorkerProcess, record: Record) -> None:
        self._warm_up(worker, record)
        for _ in range(self.plan.probes):
            record.probe_s.append(self._throughput(worker, record))

    def _warm_up(self, worker: WorkerProcess, record: Record) -> None:
        record.add_reading(self._ask(worker, "texts", record))

    def _time(self, worker: WorkerProcess, record: Record) -> None:
        if "throughput" in self.plan.measures:
            record.throughput_s.append(self._throughput(worker, record))
        if "latency" in self.plan.measures and record.setting.batch == 1:
            time.sleep(self.plan.pause_s)
            record.latency_ms.append(self._ask(worker, "time", record, mode="latency")["line_ms"])

    def _time_stream(self, part: Path, worker: WorkerProcess, record: Record) -> None:
        seconds, texts = self._stream(worker, record, part)
        record.stream_s.append(seconds)
        record.stream_readings.append(texts)

    def _first_pass(self, worker: WorkerProcess, record: Record) -> None:
        record.first_s.append(self._throughput(worker, record))
        record.first_peak_mib = max(self._peak(worker), record.first_peak_mib or 0.0)

    def _throughput(self, worker: WorkerProcess, record: Record) -> float:
        time.sleep(self.plan.pause_s)
        timed = self._ask(worker, "time", record, mode="throughput")
        record.add_reading(timed["texts"])
        return float(timed["seconds"])

    def _stream(self, worker: WorkerProcess, record: Record, part: Path) -> tuple[float, list[str]]:
        time.sleep(self.plan.pause_s)
        timed = self._ask(worker, "stream", record, lines=str(part), call=self.plan.stream_call)
        return float(timed["seconds"]), list(timed["texts"])

    def _workers(self, records: Sequence[Record], phase: str, stack: ExitStack) -> dict[str, WorkerProcess]:
        """Start a worker for each record; return them by the name of the setting."""
        workers = {}
        for record in tqdm([record for record in records if not record.failure], "starting", unit="worker"):
            with _failures_of([record]):
                workers[record.setting.name] = self._start([record], f"{record.setting.name} {phase}", stack)
        return workers

    def _round(
        self,
        records: Sequence[Record],
        workers: dict[str, WorkerProcess],
        task: Callable[[WorkerProcess, Record], None],
    ) -> None:
        self.load.append(os.getloadavg()[0])
        self._each(self._shuffled(records), workers, task)

    def _each(
        self,
        records: Iterable[Record],
        workers: dict[str, WorkerProcess],
        task: Callable[[WorkerProcess, Record], None],
    ) -> None:
        """Give every live worker its task, one after the other."""
        for record in records:
            if not record.failure:
                with _failures_of([record]):
                    task(workers[record.setting.name], record)

    def _peaks(self, records: Sequence[Record], workers: dict[str, WorkerProcess]) -> list[tuple[Record, float]]:
        peaks: list[tuple[Record, float]] = []
        self._each(records, workers, lambda worker, record: peaks.append((record, self._peak(worker))))
        return peaks

    def _peak(self, worker: WorkerProcess) -> float:
        return float(worker.ask("memory", self.starter.timeout_s))

    def _start(self, records: Sequence[Record], name: str, stack: ExitStack) -> WorkerProcess:
        worker, effective = self.starter.start(records[0].setting.system, name)
        stack.callback(worker.close)
        for record in records:
            record.effective = effective
        return worker

    def _ask(self, worker: WorkerProcess, command: str, record: Record, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
        return worker.ask(command, self.starter.timeout_s, batch=record.setting.batch, **arguments)

    def _shuffled(self, records: Sequence[Record]) -> list[Record]:
        return [records[number] for number in self._chance.permutation(len(records))]


@contextmanager
def _failures_of(records: Sequence[Record]) -> Iterator[None]:
    """Make a failing worker the row of those that were measured with it, and go on with the others."""
    try:
        yield
    except WorkerProcessFailed as failure:
        for record in records:
            record.failure = record.failure or str(failure)
