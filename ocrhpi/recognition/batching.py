"""Step 3: which lines share a batch, so that no line sees its neighbours and engines see few shapes.

Shapes are a resource: an engine compiles for each (rows, width) it meets, for 3 to 25 ms on a CPU, and keeps as many as
fit into its cache. So rows are powers of two, and widths are those of a ladder wherever padding may be rounded up.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

CALL_COST = 64
"""What one more call of an engine costs on a CPU, in columns that it could compute meanwhile: 1.3 ms, where a batch of
8 x 320 columns takes 48 to 55 (OpenVINO, PP-OCRv4_mobile_rec, two cores)."""

DEVICE_CALL_COST = 4096
"""The same on other devices, whose calls cost more and whose columns less: there empty rows are cheaper than calls."""

_RUNGS = 16  # widths of one step up to so many steps; then the step doubles with the width


@dataclass(frozen=True)
class PlannedBatch:
    """Lines that run together.

    Attributes:
        numbers: Which lines, by their position in the input.
        width: Width of their tensor in pixels.
        rows: Rows of their tensor, a power of two or what the network takes; those after the lines are empty.
    """

    numbers: list[int]
    width: int
    rows: int


def width_ladder(step: int, narrowest: int, widest: int) -> tuple[int, ...]:
    """Return the widths that lines are padded up to, ascending, the last one being ``widest``.

    Multiples of ``step`` up to 16 steps, of two steps up to 32, and so on: padding adds at most an eighth to what is
    wider than 8 steps, and the number of widths grows with the logarithm of ``widest``.

    Args:
        step: In pixels, at least 1.
        narrowest: No line is narrower, so no rung below it is needed; a rung itself.
        widest: No line is wider.
    """
    rungs = [narrowest]
    while rungs[-1] < widest:
        wider = step
        while rungs[-1] >= _RUNGS * wider:
            wider *= 2
        rungs.append(min(widest, (rungs[-1] // wider + 1) * wider))
    return tuple(rungs)


def most_rows(width: int, columns: int) -> int:
    """Return how many rows of ``width`` make the largest batch: the largest power of two that ``columns`` hold."""
    return 1 << (max(1, columns // width).bit_length() - 1)


def shapes_of(ladder: Sequence[int], columns: int, rows: int | None = None) -> list[tuple[int, int]]:
    """Return every (rows, width) that `plan_batches` makes of lines on this ladder; arguments are those."""
    return [(count, width) for width in ladder for count in _row_counts(width, columns, rows)]


def _row_counts(width: int, columns: int, rows: int | None) -> list[int]:
    if rows is not None:
        return [rows]
    return [1 << power for power in range(most_rows(width, columns).bit_length())]


def plan_batches(
    widths: Sequence[int],
    columns: int,
    ladder: Sequence[int] = (),
    *,
    together: bool = False,
    call_cost: int = CALL_COST,
    rows: int | None = None,
) -> list[PlannedBatch]:
    """Put lines into the batches that cost least: rows times width, and `call_cost` for each.

    Args:
        widths: Of all lines, in pixels.
        columns: Most columns (rows times width) in one batch; a batch has at least one row.
        ladder: Widths, ascending, that lines are padded up to; no line is wider than the last. Empty: as they are.
        together: Whether lines of different widths may share a batch, as wide as its widest: in width-masked graphs,
            where padding has no effect. Otherwise only lines that are padded to the same width do, so that no text
            depends on the lines beside it.
        call_cost: In columns.
        rows: Rows of every batch, where the network takes no other number.

    Returns:
        Batches from wide to narrow, so that an engine allocates its largest buffers once, at the beginning; every line
        occurs exactly once, those of equal width in input order.
    """
    padded = [ladder[bisect.bisect_left(ladder, width)] for width in widths] if ladder else list(widths)
    order = sorted(range(len(widths)), key=lambda number: -(widths if together else padded)[number])
    # From behind: the least cost of the lines from each one on, and the rows and lines of the batch that begins there.
    least = [0] * (len(order) + 1)
    first = [(0, 0)] * len(order)
    alike = 0  # lines from here on that may share a batch with this one
    for start in range(len(order) - 1, -1, -1):
        width = padded[order[start]]
        follows = start + 1 < len(order) and (together or padded[order[start + 1]] == width)
        alike = alike + 1 if follows else 1
        costs = (
            (call_cost + count * width + least[start + min(count, alike)], -count)
            for count in _row_counts(width, columns, rows)
        )
        least[start], negative = min(costs)
        first[start] = -negative, min(-negative, alike)
    batches = []
    start = 0
    while start < len(order):
        count, lines = first[start]
        batches.append(PlannedBatch(order[start : start + lines], padded[order[start]], count))
        start += lines
    return batches
