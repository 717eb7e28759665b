"""What was found out about each candidate: the rows of the tuning table, as they stand in the hpi_config file."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from ocrhpi.config.candidate import ExecutionPlan
from ocrhpi.options import Options

PROMISED_LINES = 5000
"""Lines of a stream over which the cost of meeting shapes for the first time is spread in a row's speed."""

Outcome: TypeAlias = Literal["measured", "rejected", "skipped"]
"""``measured``: it ran and has timings. ``rejected``: it failed, or ran not as asked. ``skipped``: it never ran."""


Passing: TypeAlias = Literal["", "disk", "killed", "time"]
"""Why what failed may go well another time: its disk was full or not to be written to, it was killed from outside, or
it took too long; empty: it would fail again."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Change(Options):
    """A line that a candidate reads differently.

    Attributes:
        line: Name of the calibration line.
        expected: What the reference reads.
        read: What the candidate reads.
    """

    line: str
    expected: str
    read: str


class GateResult(Options):
    """How a candidate reads the calibration lines, against the reference and against the known texts.

    Attributes:
        lines: Lines read that decide.
        changed: Those whose text differs from the reference's.
        examples: The first of them.
        apart: Lines besides, whose text the model's vocabulary cannot spell: they are reported, and decide nothing.
        apart_changed: Those whose text differs from the reference's.
        score_difference: Largest absolute difference of scores over the lines whose text is equal.
        labelled: Lines of known text that the model's vocabulary can write.
        cer: Character error rate on those: edit distance over characters; None without such lines.
        reference_cer: The reference's.
        cer_interval: Bootstrap 95 % interval of ``cer - reference_cer``, paired by line.
        exact: Of the labelled lines, those read without error.
        reference_exact: The reference's.
        exact_interval: Bootstrap 95 % interval of ``exact - reference_exact`` as a share of the labelled lines.
    """

    lines: int
    changed: int
    examples: tuple[Change, ...] = ()
    apart: int = 0
    apart_changed: int = 0
    score_difference: float = 0.0
    labelled: int = 0
    cer: float | None = None
    reference_cer: float | None = None
    cer_interval: tuple[float, float] | None = None
    exact: int = 0
    reference_exact: int = 0
    exact_interval: tuple[float, float] | None = None


class Row(Options):
    """One candidate and everything that was found out about it.

    Attributes:
        candidate: What was tried.
        outcome: How it went.
        reason: Why it was rejected or skipped, or why measuring it ended early; a sentence.
        passing: Whether that reason may be gone the next time.
        baseline: Whether it is normal mode, which the others are compared with. Exactly one row is.
        gate: How it reads; None if it never read all lines.
        effective: What really ran, as the engine said after loading.
        load_s: Seconds to load the model, without starting Python; of normal mode in a quick look, beside an export.
        first_call_ms: Milliseconds of the first call after loading, one line.
        peak_mib: Largest resident set of its process in MiB.
        remarks: What is to be known of it although it decides nothing, as sentences.
        look: Milliseconds per line at screening: before the rounds, and so beside no other candidate.
        first_round: Number of the round that its first sample is from; it took part in all after it until it ended.
        samples: For each round, milliseconds per line of a part of a stream whose widths are new, see
            `ocrhpi.measuring.stream`: in one call for ``throughput``, one line a call for ``latency``, as is asked.
        first_sight_ms: What meeting all of its shapes once adds to each of the first `PROMISED_LINES` lines, in
            milliseconds; 0 where shapes have no end, and new ones are part of the samples.
        latency: As ``samples``, one line a call, where throughput is asked for under a bound of latency.
    """

    candidate: ExecutionPlan
    outcome: Outcome
    reason: str = ""
    passing: Passing = ""
    baseline: bool = False
    gate: GateResult | None = None
    effective: dict[str, Any] | None = None
    load_s: float | None = None
    first_call_ms: float | None = None
    peak_mib: float | None = None
    remarks: tuple[str, ...] = ()
    look: float | None = None
    first_round: int = 0
    samples: tuple[Positive, ...] = ()
    first_sight_ms: Annotated[float, Field(ge=0)] = 0.0
    latency: tuple[Positive, ...] = ()

    @property
    def times(self) -> tuple[float, ...]:
        """Milliseconds per line in each round, the cost of first sight included: what the choice is made by."""
        return tuple(sample + self.first_sight_ms for sample in self.samples)
