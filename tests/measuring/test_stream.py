"""The stream that candidates are timed on: the mix of the lines it is made of, at widths that are new."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrhpi.measuring.stream import LONGEST, NARROWER, SHORTEST, WIDER, LineStream, recurring_widths, stretched
from ocrhpi.recognition.geometry import line_geometry
from ocrhpi.tuning.calibration import load_calibration
from ocrhpi.values import InputSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.values import Pixels

SPEC = InputSpec()
WIDTHS = (60, 100, 150, 230, 350, 530, 800)
FEW = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def line(number: int, width: int, height: int = 32) -> Pixels:
    """A line of one shade, by which it is known again whatever its width."""
    return np.full((height, width, 3), 10 * number + 5, np.uint8)


def lines() -> list[Pixels]:
    return [line(number, width, 20 + 4 * number) for number, width in enumerate(WIDTHS)]


def numbers(part: Sequence[Pixels]) -> list[int]:
    """Which of `lines` each is."""
    return [int(one[0, 0, 0]) // 10 for one in part]


def equal(one: Sequence[Pixels], other: Sequence[Pixels]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def test_it_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    part = LineStream(lines()).part(3, 40)
    assert equal(part, LineStream(lines()).part(3, 40))
    assert not equal(part, LineStream(lines(), seed=1).part(3, 40))
    assert len(part) == 37


@FEW
@given(st.integers(0, 60), st.lists(st.integers(0, 25), min_size=1, max_size=4))
def test_it_is_the_same_wherever_it_is_cut(start: int, lengths: list[int]) -> None:
    stream = LineStream(lines())
    cut: list[Pixels] = []
    stop = start
    for length in lengths:
        cut += stream.part(stop, stop + length)
        stop += length
    assert equal(cut, stream.part(start, stop))


def test_parts_far_on_cost_no_more_than_the_first() -> None:
    assert len(LineStream(lines()).part(10**9, 10**9 + 5)) == 5


def test_every_turn_has_each_line_once_in_another_order() -> None:
    count = len(WIDTHS)
    turns = [numbers(LineStream(lines()).part(turn * count, (turn + 1) * count)) for turn in range(20)]
    assert all(sorted(turn) == list(range(count)) for turn in turns)
    assert len(set(map(tuple, turns))) > 15


def test_lines_are_stretched_in_width_alone_by_other_factors_each_time() -> None:
    factors: list[float] = []
    for one in LineStream(lines()).part(0, 200 * len(WIDTHS)):
        number = int(one[0, 0, 0]) // 10
        height, width, channels = one.shape
        assert (height, channels) == (20 + 4 * number, 3)
        assert one.dtype == np.uint8
        assert round(NARROWER * WIDTHS[number]) <= width <= round(WIDER * WIDTHS[number])
        factors.append(width / WIDTHS[number])
    assert min(factors) < NARROWER + 0.02
    assert max(factors) > WIDER - 0.02
    assert np.mean(factors) == pytest.approx((NARROWER + WIDER) / 2, abs=0.01)


def test_lines_of_recurring_width_keep_it() -> None:
    stream = LineStream(lines(), recurring=[1, 4])
    kept = {number: set[int]() for number in range(len(WIDTHS))}
    for one in stream.part(0, 30 * len(WIDTHS)):
        kept[int(one[0, 0, 0]) // 10].add(one.shape[1])
    assert (kept[1], kept[4]) == ({WIDTHS[1]}, {WIDTHS[4]})
    assert all(len(kept[number]) > 10 for number in (0, 2, 3, 5, 6))


def test_which_widths_recur() -> None:
    assert recurring_widths([320, 400, 320, 640, 400, 700]) == [0, 1, 2, 4]
    assert recurring_widths([]) == []


@pytest.mark.parametrize(("width", "factor", "expected"), [(100, 0.8, 80), (100, 1.25, 125), (1, 0.8, 1), (3, 0.1, 1)])
def test_a_line_has_at_least_one_column(width: int, factor: float, expected: int) -> None:
    made = stretched(line(3, width), factor)
    assert made.shape == (32, expected, 3)
    assert made.dtype == np.uint8
    assert set(np.unique(made)) == {35}


def test_a_stream_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one line"):
        LineStream([])


def test_pieces_are_cut_out_of_as_many_lines_as_asked_for() -> None:
    ramp = np.repeat(np.repeat(np.arange(250, dtype=np.uint8)[None, :, None], 8, 0), 3, 2)
    pieces = LineStream([ramp], pieces=0.5).part(0, 2000)
    whole = [one for one in pieces if one.min() == 0 and one.max() == 249]
    shares = [(int(one.max()) - int(one.min())) / 249 for one in pieces if one.min() > 0 or one.max() < 249]
    assert len(whole) / len(pieces) == pytest.approx(0.5, abs=0.05)
    assert SHORTEST - 0.01 <= min(shares) < SHORTEST + 0.02
    assert LONGEST - 0.02 < max(shares) <= LONGEST + 0.01
    assert len({int(one.min()) for one in pieces}) > 100, "they begin anywhere"
    assert LineStream([ramp[:, :1]], pieces=1.0).part(0, 1)[0].shape[1] == 1


def test_widths_beyond_the_base_are_nearly_all_new_and_short_lines_are_as_frequent_as_in_use() -> None:
    shipped = load_calibration()
    stream = shipped.stream(SPEC)
    widths = [
        line_geometry(one.shape[1], one.shape[0], SPEC).padded_width for one in stream.part(0, 3 * len(shipped.lines))
    ]
    wide = [width for width in widths if width > SPEC.base_width]
    assert len(set(wide)) > 0.6 * len(wide)
    assert len(wide) / len(widths) == pytest.approx(0.25, abs=0.05)
    short = [one for one in stream.part(0, 1000) if one.shape[1] / one.shape[0] < 160 / 48]
    assert len(short) == pytest.approx(430, abs=60)
    again = load_calibration().stream(SPEC)
    assert equal(stream.part(7, 20), again.part(7, 20))
