from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from benchmarks.ray_scaling import timed

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize(
    ("readers", "ends", "steady"),
    [
        (1, [6.0, 7.0, 8.0, 9.0], 10.0),
        (2, [6.0, 6.5, 7.0, 7.5, 8.0, 8.5], 20.0),  # each 10 rows a second, the second one half a second later
        (2, [6.0, 7.0, 8.0, 8.9, 9.0, 9.9, 10.0, 10.9], 50 / 3),  # the second one starts late: less, never more
    ],
)
def test_the_rate_is_that_of_the_time_in_which_all_read(
    monkeypatch: pytest.MonkeyPatch, readers: int, ends: list[float], steady: float
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)

    def tables() -> Iterator[int]:
        nonlocal now
        for end in ends:
            now = end
            yield 10

    rate, with_start = timed(tables(), readers)
    assert rate == pytest.approx(steady)
    assert with_start == pytest.approx(10 * len(ends) / ends[-1])
