"""What is asked of a tuning: what to make best, within which bounds, and how equal the text must stay."""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from ocrhpi.options import Options, Threads

Goal: TypeAlias = Literal["throughput", "latency"]
"""``throughput``: lines per second, all lines in one call. ``latency``: milliseconds per line, one line a call."""

_CER_LIMIT = re.compile(r"cer\s*<=\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)")


def character_error_limit(accuracy: str) -> float | None:
    """Return x of the policy ``cer<=x`` as a fraction (``cer<=2%`` is 0.02); None for the other policies."""
    match = _CER_LIMIT.fullmatch(accuracy.strip())
    return None if match is None else float(match[1]) / (100 if match[2] else 1)


def _policy(accuracy: str) -> str:
    if accuracy not in {"identical", "no-loss"} and character_error_limit(accuracy) is None:
        raise ValueError("expected 'identical', 'no-loss', or 'cer<=' and a rate such as 0.02 or 2%")
    return accuracy


Accuracy = Annotated[str, AfterValidator(_policy)]
"""``identical``: every text equal to the reference's. ``no-loss``: character error rate and exact matches not worse
than the reference's on lines of known text. ``cer<=x``: a character error rate of at most x on them."""


class Objective(Options):
    """What a choice is made by.

    Attributes:
        goal: What is made best.
        max_latency_ms: Rules out candidates that take longer for one line per call.
        max_memory_mib: Rules out candidates whose process needs more memory.
        accuracy: How equal the text must stay.
        threads: CPU threads that every candidate may use; None: the usable cores.
    """

    goal: Goal = "throughput"
    max_latency_ms: Annotated[float, Field(gt=0)] | None = None
    max_memory_mib: Annotated[float, Field(gt=0)] | None = None
    accuracy: Accuracy = "identical"
    threads: Threads | None = None
