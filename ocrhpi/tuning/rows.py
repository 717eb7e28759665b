"""What was found out about each candidate: the rows of the tuning table, as they stand in the hpi_config file."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import Field

from ocrhpi.candidate import Setup
from ocrhpi.options import Options

__all__ = ["RANGE_EDGES", "RANGE_NAMES", "Change", "GateResult", "Outcome", "Row", "range_of"]

RANGE_EDGES = (320, 640, 1280)
"""Largest exact widths in pixels of the width ranges that times are kept for; the last range has no end."""

RANGE_NAMES = ("up to 320", "321 to 640", "641 to 1280", "above 1280")

Outcome: TypeAlias = Literal["measured", "rejected", "skipped"]
"""``measured``: it ran and has timings. ``rejected``: it failed, or ran not as asked. ``skipped``: it never ran."""


def range_of(width: int) -> int:
    """Return which width range the exact width, in pixels, falls into."""
    return next((number for number, edge in enumerate(RANGE_EDGES) if width <= edge), len(RANGE_EDGES))


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
        lines: Lines read.
        changed: Lines whose text differs from the reference's.
        examples: The first of them.
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
        baseline: Whether it is normal mode, which the others are compared with. Exactly one row is.
        gate: How it reads; None if it never read all lines.
        effective: What really ran, as the engine said after loading.
        load_s: Seconds to load the model, without starting Python.
        first_call_ms: Milliseconds of the first call after loading, one line.
        peak_mib: Largest resident set of its process in MiB.
        look: For each width range, milliseconds per line in the first look: warm, but before the rounds and so beside
            no other candidate.
        first_round: Number of the round that its first sample is from; it took part in all after it until it ended.
        samples: For each round, for each width range, milliseconds per line; null where no line is of that range.
            All lines of the range in one call for ``throughput``, one line a call for ``latency``, as is asked.
        latency: The same, one line a call, where throughput is asked for under a bound of latency.
    """

    candidate: Setup
    outcome: Outcome
    reason: str = ""
    baseline: bool = False
    gate: GateResult | None = None
    effective: dict[str, Any] | None = None
    load_s: float | None = None
    first_call_ms: float | None = None
    peak_mib: float | None = None
    look: tuple[float | None, ...] = ()
    first_round: int = 0
    samples: tuple[tuple[float | None, ...], ...] = Field(default=())
    latency: tuple[tuple[float | None, ...], ...] = Field(default=())
