"""Step 2: the widths that the model's own preprocessing gives a line (PaddleOCR ``RecResizeImg``)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ocrhpi.values import LineGeometry

if TYPE_CHECKING:
    from ocrhpi.values import Batching, InputSpec

__all__ = ["line_geometry", "looser_geometry", "text_fraction"]


def line_geometry(width: int, height: int, spec: InputSpec) -> LineGeometry:
    """Return the exact widths of a line of ``width`` x ``height`` pixels.

    With ``H = spec.height`` and ``r = max(base_width / H, width / height)`` the padded width is
    ``W = int(H * r)`` and the resized width ``min(ceil(H * width / height), W)``. A line that would be wider
    than ``spec.max_width`` is squeezed to exactly that. The order of the floating-point operations is
    PaddleX's, so that the widths are equal for every size, not for most.
    """
    if spec.stretch_width is not None:
        return LineGeometry(spec.stretch_width, spec.stretch_width)
    ratio = width / height
    padded = int(spec.height * max(spec.base_width / spec.height, ratio))
    if padded > spec.max_width:
        return LineGeometry(spec.max_width, spec.max_width)
    return LineGeometry(min(math.ceil(spec.height * ratio), padded), padded)


def looser_geometry(exact: LineGeometry, batching: Batching, step: int) -> LineGeometry:
    """Return the geometry of a line in ``batching``: its own padding rounded up to a multiple of ``step`` pixels.

    ``exact`` and ``masked`` leave it as it is, since their text does; ``natural`` first drops the padding to the
    least width.
    """
    if batching in {"exact", "masked"}:
        return exact
    width = exact.resized_width if batching == "natural" else exact.padded_width
    return LineGeometry(exact.resized_width, -(-width // step) * step)


def text_fraction(width: int, height: int, spec: InputSpec) -> float:
    """Return the share, in (0, 1], of the time steps that cover the line and not its padding to ``base_width``."""
    ratio = width / height
    return ratio / max(spec.base_width / spec.height, ratio)
