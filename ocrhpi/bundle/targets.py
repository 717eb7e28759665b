"""What a bundle can be made for, and what can be asked of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ocrhpi.config.candidate import Candidate
from ocrhpi.errors import OptionError, nearest
from ocrhpi.options import Options
from ocrhpi.values import Head

if TYPE_CHECKING:
    from ocrhpi.model import Model

# pip takes a wheel for any of the tags it is given; glibc 2.28 is that of Debian 10, RHEL 8 and all that came later.
_MANYLINUX = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_26", "manylinux_2_24", "manylinux_2_17", "manylinux2014")
_BUCKETS = (320, 480, 640, 960, 1280, 1920, 3200)


@dataclass(frozen=True)
class Target:
    """One kind of device.

    Attributes:
        name: As the command line calls it.
        engine: The backend of ocrhpi that reads there.
        architecture: Machine, as the tags of wheels spell it.
        small: Whether the small runner reads it; if not, the whole of ocrhpi is needed there.
        stand_in: The backend that makes the graph and reads the expected texts here, where it is not the engine's.
        buckets: Widths in pixels that lines are padded up to, for an engine that wants a few fixed shapes.
        pixels: Whether the graph normalises, see `ocrhpi.config.candidate.Candidate`.
        batch_size: Lines of base width that make one batch, where nobody says.
    """

    name: str
    engine: str
    architecture: str = "x86_64"
    small: bool = True
    stand_in: str | None = None
    buckets: tuple[int, ...] = ()
    pixels: bool = False
    batch_size: int = 1

    @property
    def platforms(self) -> tuple[str, ...]:
        """Platform tags of the wheels that run there, best first."""
        return tuple(f"{tag}_{self.architecture}" for tag in _MANYLINUX)


TARGETS = {
    target.name: target
    for target in (
        Target("openvino-cpu", "openvino"),
        Target("onnxruntime-cpu", "onnxruntime"),
        Target("onnxruntime-arm64", "onnxruntime", "aarch64"),
        # Its engine is built on the device at the first start, for the GPU that is there. As backend_configs has it.
        Target(
            "tensorrt",
            "tensorrt",
            small=False,
            stand_in="onnxruntime",
            buckets=_BUCKETS,
            pixels=True,
            batch_size=16,
        ),
    )
}
"""All targets, by name."""


def target_of(name: str) -> Target:
    """Return the target ``name``.

    Raises:
        OptionError: There is none.
    """
    if name not in TARGETS:
        problem = f"received {name!r}; known are {', '.join(TARGETS)}.{nearest(name, TARGETS)}"
        raise OptionError("target", problem)
    return TARGETS[name]


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
