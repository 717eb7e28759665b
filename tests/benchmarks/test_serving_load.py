"""The parts of the load benchmark that need no server."""

from __future__ import annotations

import pytest

from benchmarks.malformed_requests import malformed_requests
from benchmarks.serving_load import Run, percentile
from tests.serving.fakes import png


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (0.001, 1), (1.0, 100)])
def test_percentiles_are_values_that_were_measured(share: float, value: int) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], share) == value


def test_a_row() -> None:
    run = Run(8, 2.0, [0.01, 0.02, 0.03, 0.04], wrong=1)
    run.statuses.update({200: 3, 429: 1})
    assert run.row().split() == ["8", "4", "2.0", "20.0", "40.0", "1", "1"]


def test_malformed_requests_are_of_all_kinds_and_the_same_every_time() -> None:
    made = list(malformed_requests(130, png(60)))
    assert made == list(malformed_requests(130, png(60)))
    assert len({kind for kind, _ in made}) == 13
    assert len(made) == 130
