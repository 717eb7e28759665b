"""Which pair to verify with, and at which threshold."""

from __future__ import annotations

import pytest

from ocrhpi.candidate import Candidate
from ocrhpi.tuning.gate import ReadLine
from ocrhpi.tuning.verification import LEAST_MARGIN, best_verified, threshold_of

LOW = Candidate(backend="openvino", options={"precision": "bf16"})
QUICKER = Candidate(backend="openvino", options={"precision": "bf16"}, batch_size=8)
FULL = Candidate(backend="openvino")
REFERENCE = [ReadLine("a", 0.9, None)] * 100


def read(changed: dict[int, float], doubtful: int = 0) -> list[ReadLine]:
    """Lines of the reference, of which some changed at a margin, and others are in doubt at 0.1."""
    lines = [ReadLine("a", 0.9, 0.1 if number < doubtful else 1.0) for number in range(100)]
    for number, margin in changed.items():
        lines[number] = ReadLine("b", 0.5, margin)
    return lines


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, LEAST_MARGIN),
        ({5: 0.01, 7: 0.05}, LEAST_MARGIN),
        ({5: 0.01, 7: 0.4}, 0.5),
        ({7: 0.5}, None),
        ({7: 1.0}, None),
    ],
)
def test_the_threshold_catches_every_change_with_a_factor(changed: dict[int, float], expected: float | None) -> None:
    assert threshold_of(read(changed), REFERENCE) == pytest.approx(expected)


def test_without_margins_there_is_no_threshold() -> None:
    assert threshold_of([ReadLine("a", 0.9)], REFERENCE[:1]) is None


def test_the_pair_that_promises_most() -> None:
    lows = [(LOW, 5.0, read({}, doubtful=10)), (QUICKER, 4.0, read({}, doubtful=10))]
    pair = best_verified(lows, (FULL, 10.0), REFERENCE)
    assert pair is not None
    assert (pair.low, pair.full, pair.threshold, pair.break_even) == (QUICKER, FULL, LEAST_MARGIN, 0.6)
    assert (pair.read_again, pair.largest_change) == (0.1, 0.0)
    assert pair.precision == "bf16+fp32"
    assert not pair.same_text


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
    assert best_verified(lows, (FULL, 10.0), REFERENCE) is None
