"""The planner: which batches are allowed, that no plan costs less, and how few shapes there are."""

from __future__ import annotations

import bisect
import math
import random
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrhpi.recognition.batching import (
    CALL_COST,
    DEVICE_CALL_COST,
    PlannedBatch,
    most_rows,
    plan_batches,
    shapes_of,
    width_ladder,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BASE, WIDEST = 320, 3200
LADDERS = {
    "none": (),
    "step 64": width_ladder(64, BASE, WIDEST),
    "step 32": width_ladder(32, BASE, WIDEST),
    "narrow": width_ladder(64, 64, WIDEST),
    "buckets": (320, 480, 960, 1920, 3200),
    "one": (WIDEST,),
}


class Task(NamedTuple):
    """Arguments of `plan_batches`."""

    widths: list[int]
    columns: int
    ladder: tuple[int, ...]
    together: bool
    call_cost: int

    def plan(self) -> list[PlannedBatch]:
        return plan_batches(self.widths, self.columns, self.ladder, together=self.together, call_cost=self.call_cost)

    def padded(self, width: int) -> int:
        return next(rung for rung in self.ladder if rung >= width) if self.ladder else width

    def cost(self, plan: Sequence[PlannedBatch]) -> int:
        return sum(batch.rows * batch.width + self.call_cost for batch in plan)


@st.composite
def tasks(draw: st.DrawFn, most: int = 40) -> Task:
    few = draw(st.lists(st.integers(1, WIDEST), min_size=1, max_size=3))
    width = st.one_of(st.sampled_from([BASE, *few]), st.integers(1, WIDEST))
    return Task(
        widths=draw(st.lists(width, max_size=most)),
        columns=BASE * draw(st.integers(1, 70)),
        ladder=LADDERS[draw(st.sampled_from(sorted(LADDERS)))],
        together=draw(st.booleans()),
        call_cost=draw(st.sampled_from([0, CALL_COST, 500, DEVICE_CALL_COST])),
    )


@given(tasks())
def test_every_line_occurs_once_in_a_batch_that_holds_it(task: Task) -> None:
    plan = task.plan()
    assert sorted(number for batch in plan for number in batch.numbers) == list(range(len(task.widths)))
    for batch in plan:
        assert batch.rows & (batch.rows - 1) == 0, "a power of two"
        assert batch.rows * batch.width <= task.columns or batch.rows == 1
        assert 1 <= len(batch.numbers) <= batch.rows
        widths = [task.widths[number] for number in batch.numbers]
        assert batch.width == task.padded(max(widths))
        for number, following in zip(batch.numbers, batch.numbers[1:], strict=False):
            assert number < following or task.widths[number] != task.widths[following], "equal ones in input order"


@given(tasks())
def test_batches_go_from_wide_to_narrow(task: Task) -> None:
    widths = [batch.width for batch in task.plan()]
    assert widths == sorted(widths, reverse=True)


@given(tasks())
def test_apart_the_width_of_a_line_depends_on_that_line_alone(task: Task) -> None:
    apart = task._replace(together=False)
    for batch in apart.plan():
        for number in batch.numbers:
            (alone,) = apart._replace(widths=[task.widths[number]]).plan()
            assert (alone.width, alone.rows) == (batch.width, 1)


@given(tasks())
def test_no_shape_occurs_that_was_not_foretold(task: Task) -> None:
    ladder = task.ladder or tuple(sorted(set(task.widths)))
    shapes = shapes_of(ladder, task.columns)
    assert len(set(shapes)) == len(shapes)
    assert {(batch.rows, batch.width) for batch in task.plan()} <= set(shapes)


def one_by_one(task: Task) -> list[PlannedBatch]:
    return [PlannedBatch([number], task.padded(width), 1) for number, width in enumerate(task.widths)]


def greedy(task: Task) -> Iterator[PlannedBatch]:
    """Fill the largest batches first, from wide to narrow; the last of each width is rounded up."""
    left = sorted(range(len(task.widths)), key=lambda number: -task.widths[number])
    while left:
        width = task.padded(task.widths[left[0]])
        alike = [number for number in left if task.together or task.padded(task.widths[number]) == width]
        taken = alike[: most_rows(width, task.columns)]
        yield PlannedBatch(taken, width, 1 << (len(taken) - 1).bit_length())
        left = [number for number in left if number not in taken]


@given(tasks())
def test_no_plan_of_the_simple_ways_costs_less(task: Task) -> None:
    cost = task.cost(task.plan())
    assert cost <= task.cost(one_by_one(task))
    assert cost <= task.cost(list(greedy(task)))


def least_cost(task: Task) -> int:
    """Try every way to put the lines into batches."""

    def cost_of(lines: Sequence[int]) -> float:
        padded = {task.padded(width) for width in lines}
        rows = 1 << (len(lines) - 1).bit_length()
        width = max(padded)
        allowed = (task.together or len(padded) == 1) and (rows == 1 or rows * width <= task.columns)
        return rows * width + task.call_cost if allowed else math.inf

    @cache
    def best(left: tuple[int, ...]) -> float:
        if not left:
            return 0
        first, others = left[0], left[1:]
        found = math.inf
        for chosen in range(1 << len(others)):
            beside = [width for at, width in enumerate(others) if chosen >> at & 1]
            rest = tuple(width for at, width in enumerate(others) if not chosen >> at & 1)
            found = min(found, cost_of([first, *beside]) + best(rest))
        return found

    return int(best(tuple(sorted(task.widths))))


@settings(max_examples=150, deadline=None)
@given(tasks(most=7))
def test_no_plan_at_all_costs_less(task: Task) -> None:
    assert task.cost(task.plan()) == least_cost(task)


def test_lines_of_equal_width_share_batches_in_input_order() -> None:
    assert plan_batches([320, 400, 320, 320, 400, 320, 320], columns=4 * 320) == [
        PlannedBatch([1, 4], 400, 2),
        PlannedBatch([0, 2, 3, 5], 320, 4),
        PlannedBatch([6], 320, 1),
    ]


def test_wide_lines_make_smaller_batches() -> None:
    plan = plan_batches([640] * 5 + [3200] * 2, columns=4 * 320)
    assert [(batch.width, batch.rows) for batch in plan] == [(3200, 1)] * 2 + [(640, 2)] * 2 + [(640, 1)]


def test_lines_of_near_width_share_batches_together_only() -> None:
    widths, ladder = [330, 900, 321, 500, 1000], LADDERS["step 64"]
    assert plan_batches(widths, 10_000, ladder, together=True) == [
        PlannedBatch([4, 1], 1024, 2),
        PlannedBatch([3], 512, 1),
        PlannedBatch([0, 2], 384, 2),
    ]
    apart = plan_batches(widths, 10_000, ladder)
    assert [sorted(batch.numbers) for batch in apart] == [[4], [1], [3], [0, 2]]


def test_where_calls_are_dear_empty_rows_are_cheaper() -> None:
    assert [batch.rows for batch in plan_batches([320] * 7, 2560)] == [4, 2, 1]
    assert plan_batches([320] * 7, 2560, call_cost=DEVICE_CALL_COST) == [PlannedBatch([*range(7)], 320, 8)]


def test_a_line_wider_than_a_batch_is_one() -> None:
    assert plan_batches([3200, 3200], columns=320) == [PlannedBatch([0], 3200, 1), PlannedBatch([1], 3200, 1)]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("ladder", LADDERS.values(), ids=LADDERS)
def test_nothing_to_plan(ladder: tuple[int, ...], together: bool) -> None:
    assert plan_batches([], 320, ladder, together=together) == []


def test_thousands_of_lines_are_planned_at_once() -> None:
    rng = random.Random(0)
    task = Task(
        [rng.randint(320, 3200) for _ in range(5000)], 2560, LADDERS["step 64"], together=True, call_cost=CALL_COST
    )
    plan = task.plan()
    assert task.cost(plan) < 1.1 * sum(task.widths), "little of it is padding and calls"
    assert len({(batch.rows, batch.width) for batch in plan}) <= 46


def test_the_largest_batch_of_a_width() -> None:
    assert [most_rows(width, 2560) for width in (64, 320, 480, 2560, 3200)] == [32, 8, 4, 1, 1]


@given(st.integers(1, 4000), st.integers(1, 100_000))
def test_the_largest_batch_is_the_largest_power_of_two(width: int, columns: int) -> None:
    rows = most_rows(width, columns)
    assert rows & (rows - 1) == 0
    assert rows * width <= columns or rows == 1
    assert 2 * rows * width > columns


def test_the_shapes_of_a_ladder() -> None:
    assert shapes_of((320, 700, 3200), 1280) == [(1, 320), (2, 320), (4, 320), (1, 700), (1, 3200)]
    assert len(shapes_of(LADDERS["step 64"], 8 * BASE)) == 46


def test_a_ladder_widens_its_steps() -> None:
    assert width_ladder(64, 320, 3200)[:12] == (320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960, 1024)
    assert width_ladder(64, 320, 3200)[12:] == (*range(1152, 2049, 128), 2304, 2560, 2816, 3072, 3200)
    assert width_ladder(100, 320, 650) == (320, 400, 500, 600, 650)
    assert width_ladder(64, 320, 320) == (320,)


@given(step=st.integers(1, 400), narrowest=st.integers(1, 600), more=st.integers(0, 6000))
def test_a_ladder_is_ascending_and_pads_by_an_eighth_at_most(step: int, narrowest: int, more: int) -> None:
    widest = narrowest + more
    ladder = width_ladder(step, narrowest, widest)
    assert (ladder[0], ladder[-1]) == (narrowest, widest)
    assert list(ladder) == sorted(set(ladder))
    assert all(rung % step == 0 for rung in ladder[1:-1])
    for width in range(narrowest, widest + 1):
        padding = ladder[bisect.bisect_left(ladder, width)] - width
        assert padding < step or padding <= width / 8
        assert padding <= width / 8 or width <= 8 * step


def test_the_rungs_of_a_ladder_grow_with_the_logarithm_of_its_width() -> None:
    lengths = [len(width_ladder(64, 64, 1024 << doubling)) for doubling in range(6)]
    assert lengths == [16, 24, 32, 40, 48, 56]
