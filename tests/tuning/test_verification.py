"""Which pair to verify with, and at which threshold."""

from __future__ import annotations

import pytest

from ocrhpi.config.candidate import Candidate
from ocrhpi.tuning.gate import ReadLine
from ocrhpi.tuning.verification import MIN_MARGIN, best_verified, largest_change, threshold_of

LOW = Candidate(backend="openvino", options={"precision": "bf16"})
QUICKER = Candidate(backend="openvino", options={"precision": "bf16"}, batch_size=8)
FULL = Candidate(backend="openvino")
REFERENCE = [ReadLine("a", 0.9, None)] * 100
WIDTHS = [320] * 100


def read(changed: dict[int, float], doubtful: int = 0) -> list[ReadLine]:
    """Lines of the reference, of which some changed at a margin, and others are in doubt at 0.1."""
    lines = [ReadLine("a", 0.9, 0.1 if number < doubtful else 1.0) for number in range(100)]
    for number, margin in changed.items():
        lines[number] = ReadLine("b", 0.5, margin)
    return lines


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, MIN_MARGIN),
        ({5: 0.01, 7: 0.05}, MIN_MARGIN),
        ({5: 0.01, 7: 0.4}, 0.5),
        ({7: 0.5}, None),
        ({7: 1.0}, None),
    ],
)
def test_the_threshold_catches_every_change_with_a_factor(changed: dict[int, float], expected: float | None) -> None:
    assert threshold_of(read(changed), REFERENCE) == pytest.approx(expected)


def test_without_margins_there_is_no_threshold() -> None:
    assert threshold_of([ReadLine("a", 0.9)], REFERENCE[:1]) is None
    assert largest_change([ReadLine("a", 0.9)], REFERENCE[:1]) is None


def test_the_largest_change_is_that_of_a_text_that_changed() -> None:
    assert largest_change(read({5: 0.01, 7: 0.4}, doubtful=3), REFERENCE) == 0.4
    assert largest_change(read({}), REFERENCE) == 0.0


def test_the_pair_that_promises_most() -> None:
    lows = [(LOW, 5.0, read({}, doubtful=10)), (QUICKER, 4.0, read({}, doubtful=10))]
    pair = best_verified(lows, (FULL, 10.0), REFERENCE, WIDTHS)
    assert pair is not None
    assert (pair.low, pair.full, pair.threshold, pair.break_even) == (QUICKER, FULL, MIN_MARGIN, 0.6)
    assert (pair.read_again, pair.largest_change) == (0.1, 0.0)
    assert pair.precision == "bf16+fp32"
    assert not pair.lossless


def test_what_is_read_again_costs_as_much_as_it_is_wide() -> None:
    lows = [(LOW, 5.0, read({}, doubtful=10))]
    narrow = best_verified(lows, (FULL, 10.0), REFERENCE, [100] * 10 + [320] * 90)
    assert narrow is not None
    assert narrow.read_again == pytest.approx(1000 / 29_800, abs=1e-4)
    assert narrow.break_even == 0.5
    # Ten lines of a hundred, but half of the work: nothing would be gained.
    assert best_verified(lows, (FULL, 10.0), REFERENCE, [2880] * 10 + [320] * 90) is None


def test_of_two_the_one_with_less_to_read_again() -> None:
    lows = [(LOW, 4.0, read({}, doubtful=40)), (QUICKER, 5.0, read({}, doubtful=5))]
    pair = best_verified(lows, (FULL, 10.0), REFERENCE, WIDTHS)
    assert pair is not None
    assert pair.low == QUICKER


def test_widths_are_of_the_lines_that_were_read() -> None:
    with pytest.raises(ValueError, match="zip"):
        best_verified([(LOW, 5.0, read({}))], (FULL, 10.0), REFERENCE, WIDTHS[:50])


@pytest.mark.parametrize(
    "lows",
    [
        [],
        [(LOW, 9.5, read({}))],  # hardly quicker
        [(LOW, 5.0, read({}, doubtful=50))],  # half of the lines twice
        [(LOW, 5.0, read({3: 1.0}))],  # a change that no margin tells
    ],
)
def test_none_that_promises_too_little(lows: list[tuple[Candidate, float, list[ReadLine]]]) -> None:
    assert best_verified(lows, (FULL, 10.0), REFERENCE, WIDTHS) is None
