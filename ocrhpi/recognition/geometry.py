"""Step 2: the widths that the model's own preprocessing gives a line (PaddleOCR ``RecResizeImg``)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ocrhpi.values import LineGeometry

if TYPE_CHECKING:
    from ocrhpi.values import InputSpec, LineImage


def geometry_of(line: LineImage, spec: InputSpec) -> LineGeometry:
    """Return the widths of a line: the exact ones, or those with the padding of the batch it is said to be in.

    PaddleX pads the lines of a batch to the widest of them. The padded width grows with width / height, so that of the
    line of the largest ratio is that of the batch.
    """
    height, width = line.pixels.shape[:2]
    exact = line_geometry(width, height, spec)
    if line.batch_ratio is None or spec.only_width is not None:
        return exact
    of_batch = int(spec.height * max(spec.base_width / spec.height, line.batch_ratio))
    return LineGeometry(exact.resized_width, max(exact.padded_width, min(of_batch, spec.max_width)))


def line_geometry(width: int, height: int, spec: InputSpec) -> LineGeometry:
    """Return the exact widths of a line of ``width`` x ``height`` pixels.

    With ``H = spec.height`` and ``r = max(base_width / H, width / height)`` the padded width is
    ``W = int(H * r)`` and the resized width ``min(ceil(H * width / height), W)``. A line that would be wider
    than ``spec.max_width`` is squeezed to exactly that. The order of the floating-point operations is
    PaddleX's, so that the widths are equal for every size, not for most. Where the network takes one width
    only, W is that.
    """
    if spec.stretch_width is not None:
        return LineGeometry(spec.stretch_width, spec.stretch_width)
    ratio = width / height
    if spec.only_width is not None:
        return LineGeometry(min(math.ceil(spec.height * ratio), spec.only_width), spec.only_width)
    padded = int(spec.height * max(spec.base_width / spec.height, ratio))
    if padded > spec.max_width:
        return LineGeometry(spec.max_width, spec.max_width)
    return LineGeometry(min(math.ceil(spec.height * ratio), padded), padded)


def unpadded_geometry(exact: LineGeometry) -> LineGeometry:
    """Return the geometry of a line without its padding to the least width, as in ``natural`` batching."""
    return LineGeometry(exact.resized_width, exact.resized_width)


def text_fraction(width: int, height: int, spec: InputSpec, batch_ratio: float | None = None) -> float:
    """Return the share, in (0, 1], of the time steps that cover the line and not its padding.

    Args:
        width: Of the line, in pixels.
        height: Likewise.
        spec: Says what width it is padded to at least.
        batch_ratio: As in `ocrhpi.values.LineImage`.
    """
    ratio = width / height
    return ratio / max(spec.base_width / spec.height, ratio, batch_ratio or 0.0)
