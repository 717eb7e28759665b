"""What is timed, and when: probes of all batch sizes, interleaved rounds of the best ones, and first passes."""

from __future__ import annotations

import os
import statistics
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from benchmarks.peers.systems import Setting
from ocrhpi.children.child import Child, ChildFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.peers.starter import Starter
    from benchmarks.peers.systems import System

MEASURES = ("throughput", "latency", "first")


@dataclass(frozen=True)
class Plan:
    """How much is timed.

    Attributes:
        measures: Which of `MEASURES`.
        batches: Batch sizes to choose from.
        probes: Passes that choose the batch size.
        rounds: Interleaved rounds of throughput and latency.
        first_rounds: Fresh processes of each setting that read every line once.
        pause_s: Rest before each timing.
        seed: Of the order within a round.
    """

    measures: tuple[str, ...] = MEASURES
    batches: tuple[int, ...] = (1, 6, 8, 16)
    probes: int = 2
    rounds: int = 7
    first_rounds: int = 3
    pause_s: float = 0.2
    seed: int = 0


@dataclass
class Record:
    """What was measured of one setting; raw samples, one entry a round.

    Attributes:
        setting: The setting.
        effective: What really ran, as its reader says.
        probe_s: Seconds of the passes that chose the batch size.
        throughput_s: Seconds for all lines in one call.
        latency_ms: Milliseconds of each line in a call of its own.
        first_s: Seconds of the first pass of a fresh process.
        readings: What was read: the texts of all lines, once for every different reading.
        peak_mib: Largest resident set of the process of the rounds.
        first_peak_mib: Largest resident set of the fresh processes.
        failure: Why it could not be measured.
    """

    setting: Setting
    effective: dict[str, Any] = field(default_factory=dict)
    probe_s: list[float] = field(default_factory=list)
    throughput_s: list[float] = field(default_factory=list)
    latency_ms: list[list[float]] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    readings: list[list[str]] = field(default_factory=list)
    peak_mib: float | None = None
    first_peak_mib: float | None = None
    failure: str | None = None

    @property
    def precision(self) -> str:
        """The precision that really ran; empty if that was never learnt."""
        return str(self.effective.get("precision", ""))

    def add_reading(self, texts: list[str]) -> None:
        """Keep ``texts`` if they differ from those kept."""
        if texts not in self.readings:
            self.readings.append(texts)

    def equal_texts(self, reference: Sequence[str]) -> int:
        """Return how many texts are the reference, in the worst reading."""
        return min((sum(map(str.__eq__, texts, reference)) for texts in self.readings), default=0)


def first_fp32_texts(records: Sequence[Record]) -> tuple[str, list[str]] | None:
    """Return the first FP32 setting of batch 1, and what it reads: the reference where there is no other."""
    for record in records:
        if record.precision == "fp32" and record.setting.batch == 1 and record.readings and not record.failure:
            return record.setting.name, record.readings[0]
    return None


def keep_best(records: Sequence[Record], reference: Sequence[str]) -> list[Record]:
    """Return, of the probed batch sizes of one system, the fastest, the fastest that reads every text, and 1.

    One that failed is kept if all did, so that the system has its row.
    """
    probed = [record for record in records if not record.failure]
    if not probed:
        return list(records[:1])
    equal = [record for record in probed if record.equal_texts(reference) == len(reference)]
    best = [min(group, key=lambda record: statistics.median(record.probe_s)) for group in (probed, equal) if group]
    return [record for record in probed if record in best or record.setting.batch == 1]


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
            with suppress(ChildFailed), ExitStack() as stack:
                self._start([Record(Setting(system, 1))], f"{system.name} export", stack)

    def probe(self, systems: Sequence[System]) -> list[Record]:
        """Read all lines at every batch size, in one worker a system."""
        records = []
        for system in tqdm(systems, "choosing batch sizes", unit="system"):
            of_system = [Record(Setting(system, batch)) for batch in self.plan.batches]
            records += of_system
            with _failures_of(of_system), ExitStack() as stack:
                worker = self._start(of_system, f"{system.name} probe", stack)
                for record in of_system:
                    with _failures_of([record]):
                        self._probe(worker, record)
        return records

    def rounds(self, records: Sequence[Record]) -> None:
        """Time throughput and, at batch 1, latency: in each round every live worker once, in random order."""
        with ExitStack() as stack:
            workers: dict[str, Child] = {}
            for record in tqdm([record for record in records if not record.failure], "starting", unit="worker"):
                with _failures_of([record]):
                    worker = self._start([record], f"{record.setting.name} rounds", stack)
                    record.add_reading(self._ask(worker, "texts", record))
                    workers[record.setting.name] = worker
            for _ in tqdm(range(self.plan.rounds), "timing", unit="round"):
                self.load.append(os.getloadavg()[0])
                for record in self._shuffled(records):
                    if not record.failure:
                        with _failures_of([record]):
                            self._time(workers[record.setting.name], record)
            for record in records:
                with _failures_of([record]):
                    if not record.failure:
                        record.peak_mib = workers[record.setting.name].ask("memory", self.starter.timeout_s)

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

    def _probe(self, worker: Child, record: Record) -> None:
        record.add_reading(self._ask(worker, "texts", record))
        for _ in range(self.plan.probes):
            record.probe_s.append(self._throughput(worker, record))

    def _time(self, worker: Child, record: Record) -> None:
        if "throughput" in self.plan.measures:
            record.throughput_s.append(self._throughput(worker, record))
        if "latency" in self.plan.measures and record.setting.batch == 1:
            time.sleep(self.plan.pause_s)
            record.latency_ms.append(self._ask(worker, "time", record, mode="latency")["line_ms"])

    def _first_pass(self, worker: Child, record: Record) -> None:
        record.first_s.append(self._throughput(worker, record))
        peak: float = worker.ask("memory", self.starter.timeout_s)
        record.first_peak_mib = max(peak, record.first_peak_mib or 0.0)

    def _throughput(self, worker: Child, record: Record) -> float:
        time.sleep(self.plan.pause_s)
        timed = self._ask(worker, "time", record, mode="throughput")
        record.add_reading(timed["texts"])
        return float(timed["seconds"])

    def _start(self, records: Sequence[Record], name: str, stack: ExitStack) -> Child:
        worker, effective = self.starter.start(records[0].setting.system, name)
        stack.callback(worker.close)
        for record in records:
            record.effective = effective
        return worker

    def _ask(self, worker: Child, command: str, record: Record, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
        return worker.ask(command, self.starter.timeout_s, batch=record.setting.batch, **arguments)

    def _shuffled(self, records: Sequence[Record]) -> list[Record]:
        return [records[number] for number in self._chance.permutation(len(records))]


@contextmanager
def _failures_of(records: Sequence[Record]) -> Iterator[None]:
    """Make a failing worker the row of those that were measured with it, and go on with the others."""
    try:
        yield
    except ChildFailed as failure:
        for record in records:
            record.failure = record.failure or str(failure)
