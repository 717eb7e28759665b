"""The ratios that are asked for: ours, in FP32 and with every text equal, against the peers."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ocrhpi.tuning.statistic import Ratio, paired_ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.peers.trials import Record

    Samples = Callable[[Record], list[float]]
    """Seconds or milliseconds of a record, one a round: less is better."""


def throughput_of(record: Record) -> list[float]:
    """Seconds for all lines, per round."""
    return record.throughput_s


def first_pass_of(record: Record) -> list[float]:
    """Seconds for the first pass over all lines, per round."""
    return record.first_s


def latency_of(record: Record) -> list[float]:
    """Median milliseconds of a line, per round."""
    return [statistics.median(line_ms) for line_ms in record.latency_ms]


@dataclass(frozen=True)
class Comparison:
    """One ratio.

    Attributes:
        question: What is compared.
        ours: Name of our setting.
        peer: Name and precision of the peer's.
        ratio: How many times as fast ours is; None if one of the two is missing.
    """

    question: str
    ours: str
    peer: str
    ratio: Ratio | None

    def __str__(self) -> str:
        outcome = f"{self.ratio}, {self.ours} to {self.peer}" if self.ratio else "not measured"
        return f"{self.question}: {outcome}"

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**vars(self), "ratio": self.ratio.model_dump() if self.ratio else None}


def best(
    records: Sequence[Record],
    samples: Samples,
    reference: Sequence[str],
    *,
    ours: bool,
    fp32: bool = False,
    every_text: bool = False,
) -> Record | None:
    """Return the fastest of our settings, or of the peers', that is in FP32 and reads every text where asked."""
    fitting = [
        record
        for record in records
        if record.setting.system.ours == ours
        and not record.failure
        and samples(record)
        and (record.precision == "fp32" or not fp32)
        and (record.equal_texts(reference) == len(reference) or not every_text)
    ]
    return min(fitting, key=lambda record: statistics.median(samples(record)), default=None)


def compare(records: Sequence[Record], reference: Sequence[str]) -> list[Comparison]:
    """Return the ratios, those first that are asked for."""
    asked: tuple[tuple[str, Samples, bool, bool], ...] = (
        ("throughput, best peer that reads every text", throughput_of, False, True),
        ("throughput, best FP32 peer at any setting", throughput_of, True, False),
        ("latency per line, best FP32 peer", latency_of, True, False),
        ("first pass, best peer that reads every text", first_pass_of, False, True),
        ("first pass, best FP32 peer at any setting", first_pass_of, True, False),
    )
    return [
        _compare(question, records, samples, reference, fp32=fp32, every_text=every_text)
        for question, samples, fp32, every_text in asked
        if any(samples(record) for record in records)
    ]


def _compare(
    question: str,
    records: Sequence[Record],
    samples: Samples,
    reference: Sequence[str],
    *,
    fp32: bool,
    every_text: bool,
) -> Comparison:
    mine = best(records, samples, reference, ours=True, fp32=True, every_text=True)
    peer = best(records, samples, reference, ours=False, fp32=fp32, every_text=every_text)
    if mine is None or peer is None:
        return Comparison(question, mine.setting.name if mine else "none", peer.setting.name if peer else "none", None)
    ratio = paired_ratio(samples(peer), samples(mine))
    return Comparison(question, mine.setting.name, f"{peer.setting.name} ({peer.precision})", ratio)
