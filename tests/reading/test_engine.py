"""One engine: widths and batches of each batching policy, and the engine alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ocrhpi.model import Model, ModelFiles
from ocrhpi.reading.engine import EngineReader
from ocrhpi.reading.split import SplitReader
from ocrhpi.values import Batching, InputSpec, LineImage
from tests.fakes import StripeBackend

MODEL = Model("stripes", Path("stripes"), ModelFiles(), InputSpec(), tuple("abcdefghijklmnopqrstuvwxyz"))


def reader(batching: Batching = "exact", **options: int) -> EngineReader:
    return EngineReader(MODEL, StripeBackend(MODEL).open(), batching=batching, **options)


def line(width: int) -> LineImage:
    return LineImage(np.full((48, width, 3), width % 256, np.uint8))


@pytest.mark.parametrize(
    ("batching", "step", "expected"),
    [
        ("exact", 64, {100: 320, 320: 320, 333: 333, 1000: 1000}),
        ("rounded", 64, {100: 320, 320: 320, 333: 384, 1000: 1024}),
        ("rounded", 32, {100: 320, 320: 320, 333: 352, 1000: 1024}),
        ("natural", 32, {100: 128, 320: 320, 333: 352, 1000: 1024}),
    ],
)
def test_widths_of_each_policy(batching: Batching, step: int, expected: dict[int, int]) -> None:
    with reader(batching, width_step=step) as one:
        for width, padded in expected.items():
            ((tensor, widths),) = one.prepare([line(width)])
            assert (tensor.shape, widths) == ((1, 3, 48, padded), None)
            assert not tensor[..., min(width, padded) :].any(), "beyond the line there is padding"


def test_its_own_batch_size_holds_where_the_caller_says_none() -> None:
    lines = [line(200)] * 10
    with reader(batch_size=4) as one:
        assert [len(tensor) for tensor, _ in one.prepare(lines)] == [4, 4, 2]
        assert [len(tensor) for tensor, _ in one.prepare(lines, batch_size=10)] == [10]
        assert [text.text for text in one.read(lines)] == [text.text for text in one.read(lines, batch_size=1)]


def test_the_engine_of_a_width() -> None:
    narrow, wide = reader(), reader()
    with SplitReader(narrow, wide, up_to=640) as split:
        assert narrow.engine_for(320) is narrow
        assert split.engine_for(640) is narrow
        assert split.engine_for(641) is wide
