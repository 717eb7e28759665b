"""What can be tried, chosen and run: one way to read lines, as plain validated values that fit into a YAML file."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from ocrhpi.options import Options
from ocrhpi.values import Batching, Head

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Candidate", "Setup", "Split", "Verified"]

_BATCHING_RANK = {"exact": 0, "masked": 1, "rounded": 2, "natural": 3}
_SPLIT_RANK = 10
_VERIFIED_RANK = 10

_BUCKETED = ("masked", "rounded")

PositiveInt = Annotated[int, Field(ge=1)]


def _ascending(widths: tuple[int, ...]) -> tuple[int, ...]:
    if any(first >= second for first, second in pairwise(widths)):
        raise ValueError("expected widths in ascending order")
    return widths


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
        buckets: Widths in pixels, ascending, that lines are padded up to, in batches of a power of two lines, so that
            an engine sees a few fixed shapes. Empty: widths and batches as they come.
        pixels: Whether the engine gets uint8 pixels and the graph normalises them.
    """

    backend: str
    device: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    batching: Batching = "exact"
    width_step: PositiveInt = 64
    batch_size: PositiveInt = 1
    head: Head | None = None
    buckets: Annotated[tuple[PositiveInt, ...], Field(strict=False), AfterValidator(_ascending)] = ()
    pixels: bool = False

    @model_validator(mode="after")
    def _check_buckets(self) -> Self:
        if self.buckets and self.batching not in _BUCKETED:
            raise ValueError(f"buckets need batching {' or '.join(_BUCKETED)}, received {self.batching!r}")
        return self

    @property
    def name(self) -> str:
        """What tells it from the others on the same device, for tables and messages."""
        widths = self.batching if self.batching == "exact" else f"{self.batching} {self.width_step}"
        if self.buckets:
            widths = f"{self.batching} buckets {'/'.join(map(str, self.buckets))}"
        options = [f"{name}={_spelled(value)}" for name, value in self.options.items()]
        form = [*([f"head={self.head}"] if self.head else []), *(["pixels"] if self.pixels else [])]
        return ", ".join([self.backend, *options, *form, widths, f"batch {self.batch_size}"])

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
        graph = (self.head is not None) + self.pixels + bool(self.buckets)
        return _BATCHING_RANK[self.batching] + len(self.options) + graph + (self.batch_size > 1)


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


class Verified(Options):
    """What may change text first, such as a low precision, and what does not for the lines that are in doubt then.

    Attributes:
        low: Reads every line.
        full: Reads those again that ``low`` would have read as another text within ``threshold``.
        threshold: Margin of probability, see `ocrhpi.recognition.doubt`.
        break_even: Share of lines read again, each weighed by its width, from which on ``full`` alone is quicker.
        read_again: Share of the calibration lines that were read again; None where a person wrote the pair.
        largest_change: Largest margin of a calibration line whose text ``low`` changed, likewise.
    """

    low: Candidate
    full: Candidate
    threshold: Annotated[float, Field(ge=0, le=1)]
    break_even: Annotated[float, Field(ge=0, le=1)] = 1.0
    read_again: Annotated[float, Field(ge=0, le=1)] | None = None
    largest_change: Annotated[float, Field(ge=0, le=1)] | None = None

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return f"{self.low.name}; again within a margin of {self.threshold:.3g}: {self.full.name}"

    @property
    def precision(self) -> str:
        """Precisions of the arithmetic asked for."""
        return "+".join(dict.fromkeys((self.low.precision, self.full.precision)))

    @property
    def same_text(self) -> bool:
        """Texts should be equal, but scores are those of the low precision."""
        return False

    @property
    def complexity(self) -> int:
        """How far it is from an engine as it comes."""
        return _VERIFIED_RANK + self.low.complexity + self.full.complexity


Setup: TypeAlias = Candidate | Split | Verified
"""Anything that can be measured and run."""


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
