"""Step 3: which lines share a batch, so that no line sees its neighbours and batches hold about the same work."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ocrhpi.values import LineGeometry

__all__ = ["PlannedBatch", "bucket_lines", "plan_buckets", "plan_equal_widths", "plan_near_widths"]

_LEAST_FILLED = 0.75


@dataclass(frozen=True)
class PlannedBatch:
    """Lines that run together.

    Attributes:
        numbers: Which lines, by their position in the input.
        width: Width of their tensor in pixels.
        rows: Rows of their tensor, those after the lines empty; 0: as many as there are lines.
    """

    numbers: list[int]
    width: int
    rows: int = 0


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


def bucket_lines(width: int, columns: int) -> int:
    """Return how many lines of a bucket make its largest batch: the largest power of two that ``columns`` hold."""
    return 1 << (max(1, columns // width).bit_length() - 1)


def plan_buckets(geometries: Sequence[LineGeometry], columns: int, buckets: Sequence[int]) -> list[PlannedBatch]:
    """Pad each line up to the next bucket, in batches of a power of two rows, so that only a few shapes occur.

    For width-masked graphs, where it changes no text, or for plain graphs where it may.

    Args:
        geometries: Of all lines.
        columns: Most columns (lines times width) in one batch; a batch holds at least one line.
        buckets: Widths in pixels, ascending; no line is wider than the last.

    Returns:
        Batches from wide to narrow; every line occurs exactly once, and at most half of the rows of a batch are empty.
    """
    fillings: dict[int, list[int]] = {}
    for number in _widest_first(geometries):
        place = bisect.bisect_left(buckets, geometries[number].padded_width)
        fillings.setdefault(buckets[place], []).append(number)
    return [
        PlannedBatch(numbers[start : start + most], width, _power_of_two(len(numbers[start : start + most])))
        for width, numbers in fillings.items()
        for most in [bucket_lines(width, columns)]
        for start in range(0, len(numbers), most)
    ]


def _power_of_two(lines: int) -> int:
    """Return the least power of two that is not below ``lines``."""
    return 1 << (lines - 1).bit_length()


def _widest_first(geometries: Sequence[LineGeometry]) -> Iterable[int]:
    # Widest first, so that an engine allocates its largest buffers once, at the beginning.
    return sorted(range(len(geometries)), key=lambda number: -geometries[number].padded_width)
