"""Step 3: which lines share a batch. Only lines of equal padded width do, so no line sees its neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.values import LineGeometry

__all__ = ["plan_batches"]


def plan_batches(geometries: Sequence[LineGeometry], batch_size: int) -> list[list[int]]:
    """Group line numbers into batches of equal padded width and at most ``batch_size`` lines.

    Batches come in the order of their first line, lines within a batch in input order. Every line number
    occurs exactly once, so the numbers are also the order to undo.
    """
    full: list[list[int]] = []
    filling: dict[int, list[int]] = {}
    for number, geometry in enumerate(geometries):
        batch = filling.get(geometry.padded_width)
        if batch is None or len(batch) == batch_size:
            batch = filling[geometry.padded_width] = []
            full.append(batch)
        batch.append(number)
    return full
