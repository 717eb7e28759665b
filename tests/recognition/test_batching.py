from __future__ import annotations

import random

from ocrhpi.recognition.batching import plan_batches
from ocrhpi.values import LineGeometry


def test_lines_of_equal_padded_width_share_batches_in_input_order() -> None:
    widths = [320, 400, 320, 320, 400, 320]
    plan = plan_batches([LineGeometry(1, width) for width in widths], batch_size=3)
    assert plan == [[0, 2, 3], [1, 4], [5]]


def test_every_line_occurs_once_and_no_batch_mixes_widths() -> None:
    chance = random.Random(0)
    geometries = [LineGeometry(1, chance.choice([320, 333, 512])) for _ in range(200)]
    for batch_size in (1, 2, 7, 500):
        plan = plan_batches(geometries, batch_size)
        assert sorted(number for batch in plan for number in batch) == list(range(200))
        assert all(len({geometries[number].padded_width for number in batch}) == 1 for batch in plan)
        assert max(map(len, plan)) <= batch_size


def test_nothing_to_plan() -> None:
    assert plan_batches([], batch_size=4) == []
