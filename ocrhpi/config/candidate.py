"""What can be tried, chosen and run: one way to read lines, as plain validated values that fit into a YAML file."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from ocrhpi.options import DeviceName, Options
from ocrhpi.values import LARGEST_SIZE, Batching, Head

if TYPE_CHECKING:
    from typing_extensions import Self

_BATCHING_RANK = {"exact": 0, "masked": 1, "split": 2, "rounded": 3, "natural": 3}
_VERIFIED_RANK = 10

_LOSSLESS = ("exact", "masked", "split")

Width = Annotated[int, Field(ge=1, le=LARGEST_SIZE)]


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
        width_step: Step of the ladder of widths that lines are padded up to, in pixels: see
            `ocrhpi.recognition.batching.width_ladder`; without effect in ``exact``.
        batch_size: Most lines of the model's base width (320) in one batch, which has a power of two lines; of wider
            lines fewer share it, of narrower ones more.
        head: Where top-1 is found; None takes the backend's default.
        buckets: Widths in pixels, ascending, in place of that ladder, for engines that are told the shapes to come.
        pixels: Whether the engine gets uint8 pixels and the graph normalises them.
    """

    backend: str
    device: DeviceName | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    batching: Batching = "exact"
    width_step: Width = 64
    batch_size: Annotated[int, Field(ge=1, le=LARGEST_SIZE)] = 1
    head: Head | None = None
    buckets: Annotated[tuple[Width, ...], Field(strict=False), AfterValidator(_ascending)] = ()
    pixels: bool = False

    @model_validator(mode="after")
    def _check_buckets(self) -> Self:
        if self.buckets and self.batching == "exact":
            raise ValueError("buckets need a batching that rounds widths up, received 'exact'")
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
    def kind(self) -> tuple[str, str, str, str]:
        """What decides most about its speed, and is alike in many settings: engine, provider and precisions."""
        provider, rest = (str(self.options.get(name, "")) for name in ("provider", "rest"))
        return self.backend, provider, self.precision, rest

    @property
    def kind_name(self) -> str:
        """The same in words."""
        return " ".join(filter(None, dict.fromkeys(self.kind)))

    @property
    def lossless_batching(self) -> bool:
        """Whether the network sees each line as it does in normal mode: padded to the same width, or as if it were."""
        return self.batching in _LOSSLESS

    @property
    def lossless(self) -> bool:
        """Whether it computes what normal mode does, up to the rounding of FP32, so that the text should be equal."""
        return self.lossless_batching and self.precision == "fp32"

    @property
    def complexity(self) -> int:
        """How far it is from an engine as it comes; of two that are equally fast, the lower one is kept."""
        graph = (self.head is not None) + self.pixels
        return _BATCHING_RANK[self.batching] + len(self.options) + graph + (self.batch_size > 1)


class Verified(Options):
    """What may change text first, such as a low precision, and what does not for the lines that are in doubt then.

    Attributes:
        low: Reads every line.
        full: Reads those again that ``low`` would have read as another text within ``threshold``.
        threshold: Margin of probability, see `ocrhpi.recognition.near_ties`.
        break_even: Share of lines read again, each weighed by its width, from which on ``full`` alone is quicker.
        read_again: Share of the width of the calibration lines that was read again; None where a person wrote the pair.
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
    def lossless(self) -> bool:
        """Texts should be equal, but scores are those of the low precision."""
        return False

    @property
    def complexity(self) -> int:
        """How far it is from an engine as it comes."""
        return _VERIFIED_RANK + self.low.complexity + self.full.complexity


ExecutionPlan: TypeAlias = Candidate | Verified
"""Anything that can be measured and run."""


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
