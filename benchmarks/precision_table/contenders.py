"""What the table compares: settings of one engine each, and pairs that verify."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrhpi.config.candidate import Candidate, Verified

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocrhpi.config.candidate import ExecutionPlan

__all__ = ["FULL", "NORMAL", "VERIFIED", "Contender", "contenders", "verified"]

NORMAL, FULL = "FP32, ONNX Runtime, one line a batch", "FP32"

VERIFIED: Mapping[str, str] = {
    "verified BF16": "BF16",
    "verified BF16, selective": "BF16, selective",
    "verified INT8": "INT8",
    "verified INT8, selective": "INT8, selective",
    "verified INT8, selective, rest in BF16": "INT8, selective, rest in BF16",
    "verified FP32, natural width": "FP32, natural width",
    "verified BF16, natural width": "BF16, natural width",
}
"""Pairs: title -> what reads first; what is in doubt then, `FULL` reads again."""


@dataclass(frozen=True)
class Contender:
    """One row of the table.

    Attributes:
        title: Its name there.
        setup: What runs.
    """

    title: str
    setup: ExecutionPlan


def contenders() -> tuple[Contender, ...]:
    """Return all that one engine reads alone: what texts are compared with first, then `FULL`, then the others."""
    natural = {"batching": "natural", "width_step": 32}
    return (
        Contender(NORMAL, Candidate(backend="onnxruntime", device="cpu")),
        *(
            Contender(title, Candidate.model_validate(_OPENVINO | facts))
            for title, facts in (
                (FULL, {}),
                ("BF16", {"options": {"precision": "bf16"}}),
                ("BF16, selective", {"options": {"precision": "bf16-selective"}}),
                ("INT8", {"options": {"precision": "int8"}}),
                ("INT8, rest in BF16", {"options": {"precision": "int8", "rest": "bf16"}}),
                ("INT8, selective", {"options": {"precision": "int8-selective"}}),
                ("INT8, selective, rest in BF16", {"options": {"precision": "int8-selective", "rest": "bf16"}}),
                ("FP32, rounded width", {"batching": "rounded", "width_step": 32}),
                ("FP32, natural width", natural),
                ("BF16, natural width", {**natural, "options": {"precision": "bf16"}}),
            )
        ),
        Contender("INT8, ONNX Runtime", Candidate.model_validate(_ONNX_RUNTIME)),
    )


def verified(title: str, alone: Mapping[str, Contender], threshold: float) -> Contender:
    """Return the pair ``title`` of `VERIFIED`; it never gives up, so that all of its rounds are of both engines."""
    low, full = alone[VERIFIED[title]].setup, alone[FULL].setup
    assert isinstance(low, Candidate)  # noqa: S101 - they read alone
    assert isinstance(full, Candidate)  # noqa: S101
    return Contender(title, Verified(low=low, full=full, threshold=threshold, break_even=1.0))


_OPENVINO = {"backend": "openvino", "device": "cpu", "batching": "masked", "batch_size": 8}
_ONNX_RUNTIME = {"backend": "onnxruntime", "device": "cpu", "batch_size": 8, "options": {"precision": "int8"}}
