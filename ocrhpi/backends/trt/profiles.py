"""Optimisation profiles: which shapes an engine is built for, and which profile runs a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.values import InputSpec

# Without shapes to prepare for: ranges of widths in pixels up to these, then up to the widest line.
_RANGE_ENDS = (320, 640, 1280)
_NARROWEST = 32
_COLUMNS = 8 * 320  # of the largest batch of a range


@dataclass(frozen=True)
class Profile:
    """Shapes that one set of kernels is chosen for; the largest one is what they are tuned at.

    Attributes:
        lines: Most lines of a batch; one is the least.
        narrowest: Least width in pixels.
        width: Greatest width in pixels; equal to ``narrowest`` for a bucket.
    """

    lines: int
    narrowest: int
    width: int

    def __str__(self) -> str:
        widths = str(self.width) if self.narrowest == self.width else f"{self.narrowest} to {self.width}"
        return f"1 to {self.lines} x {widths}"


@dataclass(frozen=True)
class Placement:
    """Where a batch runs.

    Attributes:
        number: Which profile.
        lines: Most lines that run at a time.
        width: Width in pixels that the batch is padded to.
    """

    number: int
    lines: int
    width: int


def plan_profiles(shapes: Sequence[tuple[int, int]], spec: InputSpec) -> tuple[Profile, ...]:
    """Return the profiles, from narrow to wide.

    Args:
        shapes: (lines, width) of the largest batch of each width bucket. Empty: any width is to run, in ranges.
        spec: How the model's lines become input.
    """
    if shapes:
        most: dict[int, int] = {}
        for lines, width in shapes:
            most[width] = max(lines, most.get(width, 0))
        return tuple(Profile(most[width], width, width) for width in sorted(most))
    if spec.stretch_width:
        return (Profile(_lines(spec.stretch_width), spec.stretch_width, spec.stretch_width),)
    ends = [*(end for end in _RANGE_ENDS if end < spec.max_width), spec.max_width]
    starts = [_NARROWEST, *(end + 1 for end in ends)]
    return tuple(Profile(_lines(end), start, end) for start, end in zip(starts, ends, strict=False))


def _lines(width: int) -> int:
    return max(1, _COLUMNS // width)


def place(width: int, profiles: Sequence[Profile], *, may_pad: bool) -> Placement | None:
    """Return where a batch of ``width`` runs; None if no profile takes it.

    Args:
        width: Width of the batch in pixels.
        profiles: From narrow to wide.
        may_pad: Whether columns may be added: in a width-masked graph they have no effect, in others they change text.
    """
    for number, profile in enumerate(profiles):
        if width <= profile.width:
            padded = max(width, profile.narrowest)
            return Placement(number, profile.lines, padded) if may_pad or padded == width else None
    return None


def input_shape(name: str, lines: int, width: int, height: int) -> tuple[int, ...]:
    """Return the shape of the input ``name`` of an exported graph, see `ocrhpi.backends.onnx_io`."""
    if name in {"contents", "widths"}:
        return (lines,)
    return (lines, height, width, 3) if name == "pixels" else (lines, 3, height, width)
