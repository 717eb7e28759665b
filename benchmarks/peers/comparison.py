"""The ratios that are asked for: ours against the peers, in FP32 and with every text equal unless it says otherwise."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.peers.records import Record
from ocrhpi.measuring.statistic import Ratio, paired_ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Measure(NamedTuple):
    """What settings are compared in.

    Attributes:
        samples: Seconds or milliseconds of a record, one a round: less is better.
        every_text: Whether a record reads every text as the reference of the lines does, or as that of the stream.
    """

    samples: Callable[[Record], list[float]]
    every_text: Callable[[Record, Sequence[str]], bool] = Record.reads_every_text


THROUGHPUT = Measure(lambda record: record.throughput_s)
LATENCY = Measure(lambda record: [statistics.median(line_ms) for line_ms in record.latency_ms])
FIRST_PASS = Measure(lambda record: record.first_s)
STREAM = Measure(lambda record: record.stream_s, lambda record, _: record.reads_every_stream_text)


class Demand(NamedTuple):
    """Which settings may be compared: those in FP32, and those that read every text, where asked."""

    fp32: bool = False
    every_text: bool = False


_ANY = Demand()
_FP32 = Demand(fp32=True)
_EVERY_TEXT = Demand(every_text=True)
_FP32_EVERY_TEXT = Demand(fp32=True, every_text=True)


@dataclass(frozen=True)
class Comparison:
    """One ratio.

    Attributes:
        question: What is compared.
        ours: Name and precision of our setting.
        peer: The same of the peer's.
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
    records: Sequence[Record], measure: Measure, reference: Sequence[str], demand: Demand = _ANY, *, ours: bool
) -> Record | None:
    """Return the fastest of our settings, or of the peers', that meets the demand."""
    fitting = [
        record
        for record in records
        if record.setting.system.ours == ours
        and not record.failure
        and measure.samples(record)
        and (record.precision == "fp32" or not demand.fp32)
        and (not demand.every_text or measure.every_text(record, reference))
    ]
    return min(fitting, key=lambda record: statistics.median(measure.samples(record)), default=None)


def compare(records: Sequence[Record], reference: Sequence[str]) -> list[Comparison]:
    """Return the ratios, those first that are asked for."""
    asked: tuple[tuple[str, Measure, Demand, Demand], ...] = (
        ("throughput, best peer that reads every text", THROUGHPUT, _FP32_EVERY_TEXT, _EVERY_TEXT),
        ("throughput, best FP32 peer at any setting", THROUGHPUT, _FP32_EVERY_TEXT, _FP32),
        ("latency per line, best FP32 peer", LATENCY, _FP32_EVERY_TEXT, _FP32),
        ("first pass, best peer that reads every text", FIRST_PASS, _FP32_EVERY_TEXT, _EVERY_TEXT),
        ("first pass, best FP32 peer at any setting", FIRST_PASS, _FP32_EVERY_TEXT, _FP32),
        ("stream, best peer that reads every text", STREAM, _FP32_EVERY_TEXT, _EVERY_TEXT),
        ("stream, best FP32 peer at any setting", STREAM, _FP32_EVERY_TEXT, _FP32),
        ("stream where text may change, best peer as it comes", STREAM, _ANY, _ANY),
    )
    return [
        _compare(
            question,
            best(records, measure, reference, of_ours, ours=True),
            best(records, measure, reference, of_peers, ours=False),
            measure,
        )
        for question, measure, of_ours, of_peers in asked
        if any(measure.samples(record) for record in records)
    ]


def _compare(question: str, mine: Record | None, peer: Record | None, measure: Measure) -> Comparison:
    ratio = paired_ratio(measure.samples(peer), measure.samples(mine)) if mine and peer else None
    return Comparison(question, _named(mine), _named(peer), ratio)


def _named(record: Record | None) -> str:
    return f"{record.setting.name} ({record.precision})" if record else "none"
