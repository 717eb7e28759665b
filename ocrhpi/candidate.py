"""What can be tried, chosen and run: one way to read lines, as plain validated values that fit into a YAML file."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import Field

from ocrhpi.options import Options
from ocrhpi.values import Batching, Head

__all__ = ["Candidate", "Setup", "Split"]

_BATCHING_RANK = {"exact": 0, "masked": 1, "rounded": 2, "natural": 3}
_SPLIT_RANK = 10

PositiveInt = Annotated[int, Field(ge=1)]


class Candidate(Options):
    """One engine, how it is set, and how lines are put into its batches.

    Attributes:
        backend: Name in the registry.
        device: ``cpu``, ``gpu:INDEX`` and the like; None lets the backend choose.
        options: Options of that backend.
        batching: Which widths lines get and which lines share a batch.
        width_step: Widths are rounded up to a multiple of this many pixels; without effect in ``exact``.
        batch_size: Lines of the model's base width (320) that make one batch; of wider lines fewer share it.
        head: Where top-1 is found; None takes the backend's default.
    """

    backend: str
    device: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    batching: Batching = "exact"
    width_step: PositiveInt = 64
    batch_size: PositiveInt = 1
    head: Head | None = None

    @property
    def name(self) -> str:
        """What tells it from the others on the same device, for tables and messages."""
        widths = self.batching if self.batching == "exact" else f"{self.batching} {self.width_step}"
        options = [f"{name}={_spelled(value)}" for name, value in self.options.items()]
        head = [f"head={self.head}"] if self.head else []
        return ", ".join([self.backend, *options, *head, widths, f"batch {self.batch_size}"])

    @property
    def precision(self) -> str:
        """Precision of the arithmetic asked for."""
        return str(self.options.get("precision", "fp32"))

    @property
    def same_text(self) -> bool:
        """Whether it computes what normal mode does, up to the rounding of FP32, so that the text should be equal."""
        return self.batching in {"exact", "masked"} and self.precision == "fp32"

    @property
    def complexity(self) -> int:
        """How far it is from an engine as it comes; of two that are equally fast, the lower one is kept."""
        return _BATCHING_RANK[self.batching] + len(self.options) + (self.head is not None) + (self.batch_size > 1)


class Split(Options):
    """Two engines: one for lines up to a width, another for the wider ones.

    Attributes:
        narrow: Reads lines whose exact width is at most ``up_to``.
        wide: Reads the others.
        up_to: Exact width in pixels.
    """

    narrow: Candidate
    wide: Candidate
    up_to: PositiveInt

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return f"up to {self.up_to}: {self.narrow.name}; wider: {self.wide.name}"

    @property
    def precision(self) -> str:
        """Precision of the arithmetic asked for."""
        return "+".join(dict.fromkeys((self.narrow.precision, self.wide.precision)))

    @property
    def same_text(self) -> bool:
        """Whether both compute what normal mode does."""
        return self.narrow.same_text and self.wide.same_text

    @property
    def complexity(self) -> int:
        """How far it is from an engine as it comes."""
        return _SPLIT_RANK + self.narrow.complexity + self.wide.complexity


Setup: TypeAlias = Candidate | Split
"""Anything that can be measured and run."""


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
