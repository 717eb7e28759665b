from __future__ import annotations

import pytest

from ocrhpi.serving.batcher import LineRate


def test_nothing_was_read_yet() -> None:
    assert LineRate().wait_s(1000) == 1


@pytest.mark.parametrize(("lines", "seconds"), [(1, 1), (10, 1), (11, 2), (100, 10), (10**6, 600)])
def test_the_wait_is_that_of_all_lines_in_whole_seconds(lines: int, seconds: int) -> None:
    pace = LineRate()
    pace.read(8, began=5.0, ended=5.8)
    assert pace.wait_s(lines) == seconds


def test_overlapping_batches_count_the_time_between_their_ends() -> None:
    pace = LineRate()
    pace.read(10, began=0.0, ended=10.0)
    for end in range(11, 200):  # each took ten seconds, but ten lines came out every second
        pace.read(10, began=end - 10.0, ended=float(end))
    assert pace.wait_s(100) == 11


def test_it_follows_a_change() -> None:
    pace = LineRate()
    pace.read(1, began=0.0, ended=1.0)
    for start in range(1, 100):
        pace.read(1, began=float(start), ended=start + 0.01)
    assert pace.wait_s(90) == 1
