"""Step 3: which lines share a batch, so that no line sees its neighbours and batches hold about the same work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ocrhpi.values import LineGeometry

__all__ = ["PlannedBatch", "plan_equal_widths", "plan_near_widths"]

_LEAST_FILLED = 0.75


@dataclass(frozen=True)
class PlannedBatch:
    """Lines that run together.

    Attributes:
        numbers: Which lines, by their position in the input.
        width: Width of their tensor in pixels.
    """

    numbers: list[int]
    width: int


def plan_equal_widths(geometries: Sequence[LineGeometry], columns: int) -> list[PlannedBatch]:
    """Put lines of equal exact width together; for plain graphs, where any other padding changes text.

    Args:
        geometries: Of all lines.
        columns: Most columns (lines times width) in one batch; a batch holds at least one line.

    Returns:
        Batches in the order of their first lines, lines in input order; every line occurs exactly once.
    """
    full: list[PlannedBatch] = []
    filling: dict[int, PlannedBatch] = {}
    for number, geometry in enumerate(geometries):
        width = geometry.padded_width
        batch = filling.get(width)
        if batch is None or (len(batch.numbers) + 1) * width > columns:
            batch = filling[width] = PlannedBatch([], width)
            full.append(batch)
        batch.numbers.append(number)
    return full


def plan_near_widths(geometries: Sequence[LineGeometry], columns: int, step: int) -> list[PlannedBatch]:
    """Put lines of near width together, padded to a multiple of ``step``; for width-masked graphs.

    At least three quarters of the columns of a batch of several lines are real ones.

    Args:
        geometries: Of all lines.
        columns: Most columns (lines times width) in one batch; a batch holds at least one line.
        step: Widths are rounded up to a multiple of this many pixels, so that few shapes occur.

    Returns:
        Batches from wide to narrow; every line occurs exactly once.
    """
    batches: list[PlannedBatch] = []
    for number in _widest_first(geometries):
        width = geometries[number].padded_width
        last = batches[-1] if batches else None
        if last and (len(last.numbers) + 1) * last.width <= columns and width >= _LEAST_FILLED * last.width:
            last.numbers.append(number)
        else:
            batches.append(PlannedBatch([number], -(-width // step) * step))
    return batches


def _widest_first(geometries: Sequence[LineGeometry]) -> Iterable[int]:
    # Widest first, so that an engine allocates its largest buffers once, at the beginning.
    return sorted(range(len(geometries)), key=lambda number: -geometries[number].padded_width)
