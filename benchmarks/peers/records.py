"""What was measured of each setting, the texts that are the reference, and which settings go on."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.peers.systems import Setting


@dataclass
class Record:
    """What was measured of one setting; raw samples, one entry a round.

    Attributes:
        setting: The setting.
        effective: What really ran, as its reader says.
        probe_s: Seconds of the passes that chose the batch size.
        probe_readings: What was read in these passes, where each is another part of the stream.
        throughput_s: Seconds for all lines in one call.
        latency_ms: Milliseconds of each line in a call of its own.
        first_s: Seconds of the first pass of a fresh process.
        stream_s: Seconds for the lines of a round of the stream.
        stream_readings: What was read in these rounds.
        stream_texts: How many of these texts are the reference; empty where there is none.
        stream_changed: Number in the stream of each line whose text is not the reference; that, and what was read.
        readings: What was read: the texts of all lines, once for every different reading.
        peak_mib: Largest resident set of the process of the rounds.
        first_peak_mib: Largest resident set of the fresh processes.
        stream_peak_mib: Largest resident set of the process that read the stream.
        failure: Why it could not be measured.
    """

    setting: Setting
    effective: dict[str, Any] = field(default_factory=dict)
    probe_s: list[float] = field(default_factory=list)
    probe_readings: list[list[str]] = field(default_factory=list)
    throughput_s: list[float] = field(default_factory=list)
    latency_ms: list[list[float]] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    stream_s: list[float] = field(default_factory=list)
    stream_readings: list[list[str]] = field(default_factory=list)
    stream_texts: list[int] = field(default_factory=list)
    stream_changed: dict[int, tuple[str, str]] = field(default_factory=dict)
    readings: list[list[str]] = field(default_factory=list)
    peak_mib: float | None = None
    first_peak_mib: float | None = None
    stream_peak_mib: float | None = None
    failure: str | None = None

    @property
    def precision(self) -> str:
        """The precision that really ran; empty if that was never learnt."""
        return str(self.effective.get("precision", ""))

    @property
    def stream_lines(self) -> int:
        """Lines that it has read of the stream."""
        return sum(map(len, self.stream_readings))

    @property
    def reads_every_stream_text(self) -> bool:
        """Whether all texts of the stream are the reference; False where there is none."""
        return bool(self.stream_texts) and sum(self.stream_texts) == self.stream_lines

    def add_reading(self, texts: list[str]) -> None:
        """Keep ``texts`` if they differ from those kept."""
        if texts not in self.readings:
            self.readings.append(texts)

    def equal_texts(self, reference: Sequence[str]) -> int:
        """Return how many texts are the reference, in the worst reading."""
        return min((sum(map(str.__eq__, texts, reference)) for texts in self.readings), default=0)

    def reads_every_text(self, reference: Sequence[str]) -> bool:
        """Return whether all texts are the reference, in every reading."""
        return self.equal_texts(reference) == len(reference)


def first_fp32(records: Sequence[Record], readings: Callable[[Record], list[list[str]]]) -> Record | None:
    """Return the first FP32 setting of batch 1 that has ``readings``: the reference where there is no other."""
    for record in records:
        if record.precision == "fp32" and record.setting.batch == 1 and readings(record) and not record.failure:
            return record
    return None


def count_stream_texts(records: Sequence[Record]) -> str | None:
    """Count in every record the texts of the stream that are what `first_fp32` reads; return the name of that one."""
    reference = first_fp32(records, lambda record: record.stream_readings)
    if reference is None:
        return None
    for record in records:
        # One that failed has fewer rounds.
        rounds = [
            list(zip(*both, strict=True))
            for both in zip(reference.stream_readings, record.stream_readings, strict=False)
        ]
        record.stream_texts = [sum(expected == text for expected, text in pairs) for pairs in rounds]
        lines = enumerate(pair for pairs in rounds for pair in pairs)
        record.stream_changed = {line: (expected, text) for line, (expected, text) in lines if expected != text}
    return reference.setting.name


def keep_best(records: Sequence[Record], every_text: Callable[[Record], bool]) -> list[Record]:
    """Return, of the probed batch sizes of one system, the fastest, the fastest that reads every text, and 1.

    One that failed is kept if all did, so that the system has its row.
    """
    probed = [record for record in records if not record.failure]
    if not probed:
        return list(records[:1])
    equal = [record for record in probed if every_text(record)]
    best = [min(group, key=lambda record: statistics.median(record.probe_s)) for group in (probed, equal) if group]
    return [record for record in probed if record in best or record.setting.batch == 1]
