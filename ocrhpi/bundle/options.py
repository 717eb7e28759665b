"""What can be asked of a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ocrhpi.bundle.targets import Target, target_of
from ocrhpi.candidate import Candidate
from ocrhpi.options import Options
from ocrhpi.values import Head

if TYPE_CHECKING:
    from ocrhpi.model import Model

_FULL_PRECISION = "fp32"


class BundleOptions(Options):
    """How a bundle is made.

    Attributes:
        target: Name of what it is made for, see `ocrhpi.bundle.targets`.
        precision: Precision of the arithmetic, as far as the engine has it: ``fp32``, ``fp16``, ``bf16`` and so on.
        batching: ``exact`` puts lines of equal width together; ``masked`` lines of any width, in a graph in which
            padding has no effect. Both read what each line reads alone. None: ``exact``, or what the target needs.
        batch_size: Lines of base width that make one batch, where the caller does not say; None: the target's.
        width_step: Widths are rounded up to a multiple of this many pixels, in ``masked``.
        head: Where top-1 is found; None takes what suits the engine.
        lines: How many lines of known text go with it.
    """

    target: str
    precision: Annotated[str, Field(min_length=1)] = _FULL_PRECISION
    batching: Literal["exact", "masked"] | None = None
    batch_size: Annotated[int, Field(ge=1)] | None = None
    width_step: Annotated[int, Field(ge=1)] = 64
    head: Head | None = None
    lines: Annotated[int, Field(ge=1)] = 24

    def candidate(self, model: Model) -> Candidate:
        """Return what runs on the machine that makes the bundle: it makes the graph and reads the expected texts.

        Args:
            model: The model.

        Raises:
            OptionError: The target is unknown.
        """
        target = target_of(self.target)
        precision: dict[str, Any] = {} if self.precision == _FULL_PRECISION else {"precision": self.precision}
        return Candidate(
            backend=target.stand_in or target.engine,
            device="cpu",
            options=precision,
            batching=self.batching_for(target, model),
            width_step=self.width_step,
            batch_size=self.batch_size or target.batch_size,
            head=self.head,
            pixels=target.pixels,
        )

    def batching_for(self, target: Target, model: Model) -> Literal["exact", "masked"]:
        """Return the batching, which engines with buckets, models of one width and masked graphs do not leave open."""
        if model.spec.only_width is not None:
            return "exact"
        return self.batching or ("masked" if target.buckets or model.graph.masked else "exact")
