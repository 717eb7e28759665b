from __future__ import annotations

import random

import pytest

from ocrhpi.recognition.batching import (
    PlannedBatch,
    bucket_lines,
    plan_buckets,
    plan_equal_widths,
    plan_near_widths,
)
from ocrhpi.values import LineGeometry


def of_widths(widths: list[int]) -> list[LineGeometry]:
    return [LineGeometry(1, width) for width in widths]


def random_widths(count: int) -> list[int]:
    chance = random.Random(0)
    return [chance.choice([320, 333, 512, chance.randint(320, 3200)]) for _ in range(count)]


def test_lines_of_equal_width_share_batches_in_input_order() -> None:
    plan = plan_equal_widths(of_widths([320, 400, 320, 320, 400, 320]), columns=3 * 320)
    assert plan == [PlannedBatch([0, 2, 3], 320), PlannedBatch([1, 4], 400), PlannedBatch([5], 320)]


def test_wide_lines_make_smaller_batches() -> None:
    plan = plan_equal_widths(of_widths([640] * 5 + [3200] * 2), columns=4 * 320)
    assert [len(batch.numbers) for batch in plan] == [2, 2, 1, 1, 1]


def test_lines_of_near_width_share_batches_in_few_shapes() -> None:
    plan = plan_near_widths(of_widths([330, 900, 321, 380, 1000]), columns=10_000, step=64)
    assert plan == [PlannedBatch([4, 1], 1024), PlannedBatch([3, 0, 2], 384)]


@pytest.mark.parametrize("batch_size", [1, 2, 7, 500])
def test_every_line_occurs_once_and_the_bounds_hold(batch_size: int) -> None:
    widths, columns = random_widths(300), 320 * batch_size
    for step in (None, 1, 32, 64):
        lines = of_widths(widths)
        plan = plan_equal_widths(lines, columns) if step is None else plan_near_widths(lines, columns, step)
        assert sorted(number for batch in plan for number in batch.numbers) == list(range(300))
        for batch in plan:
            members = [widths[number] for number in batch.numbers]
            assert len(members) == 1 or len(members) * batch.width <= columns
            if step is None:
                assert set(members) == {batch.width}
            else:
                assert max(members) <= batch.width < max(members) + step
                assert batch.width % step == 0
                assert len(members) == 1 or sum(members) >= 0.75 * len(members) * batch.width


@pytest.mark.parametrize("batch_size", [1, 6, 8, 64])
def test_buckets_make_few_shapes_of_powers_of_two(batch_size: int) -> None:
    widths, columns, buckets = random_widths(300), 320 * batch_size, (320, 480, 960, 1920, 3200)
    plan = plan_buckets(of_widths(widths), columns, buckets)
    assert sorted(number for batch in plan for number in batch.numbers) == list(range(300))
    for batch in plan:
        assert batch.width == next(width for width in buckets if width >= max(widths[n] for n in batch.numbers))
        assert batch.rows in {1, 2, 4, 8, 16, 32, 64}
        assert batch.rows / 2 < len(batch.numbers) <= batch.rows <= bucket_lines(batch.width, columns)


def test_the_largest_batch_of_a_bucket() -> None:
    assert [bucket_lines(width, 2560) for width in (320, 480, 2560, 3200)] == [8, 4, 1, 1]


def test_nothing_to_plan() -> None:
    assert plan_buckets([], 320, (320,)) == []
    assert plan_equal_widths([], columns=320) == []
    assert plan_near_widths([], columns=320, step=64) == []
