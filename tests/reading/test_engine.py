"""One engine: widths and batches of each batching policy, and the engine alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocrhpi.model import Model, ModelFiles
from ocrhpi.reading.engine import EngineReader
from ocrhpi.reading.split import SplitReader
from ocrhpi.values import Batching, InputSpec, LineImage, TextLine
from tests.fakes import PixelStripeBackend, StripeBackend

MODEL = Model("stripes", Path("stripes"), ModelFiles(), InputSpec(), tuple("abcdefghijklmnopqrstuvwxyz"))


def reader(batching: Batching = "exact", **options: Any) -> EngineReader:
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
            ((tensor, widths, _),) = one.prepare([line(width)])
            assert (tensor.shape, widths) == ((1, 3, 48, padded), None)
            assert not tensor[..., min(width, padded) :].any(), "beyond the line there is padding"


def test_its_own_batch_size_holds_where_the_caller_says_none() -> None:
    lines = [line(200)] * 10
    with reader(batch_size=4) as one:
        assert [len(tensor) for tensor, *_ in one.prepare(lines)] == [4, 4, 2]
        assert [len(tensor) for tensor, *_ in one.prepare(lines, batch_size=10)] == [10]
        assert [text.text for text in one.read(lines)] == [text.text for text in one.read(lines, batch_size=1)]


def test_the_engine_of_a_width() -> None:
    narrow, wide = reader(), reader()
    with SplitReader(narrow, wide, up_to=640) as split:
        assert narrow.engine_for(320) is narrow
        assert split.engine_for(640) is narrow
        assert split.engine_for(641) is wide


BUCKETS = (320, 640, 3200)


def test_buckets_give_a_few_fixed_shapes_and_the_texts_of_the_lines_alone() -> None:
    lines = [line(width) for width in (100, 333, 320, 900, 250, 640, 3200, 319, 318)]
    with reader("rounded", batch_size=4, buckets=BUCKETS) as one:
        shapes = [tensor.shape for tensor, *_ in one.prepare(lines)]
        assert shapes == [(1, 3, 48, 3200), (1, 3, 48, 3200), (2, 3, 48, 640), (4, 3, 48, 320), (1, 3, 48, 320)]
        together = [text.text for text in one.read(lines)]
        assert together == [one.read([alone])[0].text for alone in lines]


def test_empty_rows_fill_a_batch_up_to_a_power_of_two() -> None:
    with reader("rounded", batch_size=4, buckets=BUCKETS) as one:
        ((tensor, widths, contents),) = one.prepare([line(100)] * 3)
        assert (tensor.shape[0], widths, contents) == (4, None, None)
        assert not tensor[3].any()
        assert len(one.read([line(100)] * 3)) == 3


def test_a_graph_that_normalises_gets_pixels_and_reads_the_same() -> None:
    lines = [line(width) for width in (100, 333, 320, 900, 250)]
    backend = PixelStripeBackend(MODEL)
    with EngineReader(MODEL, backend.open(), batching="masked", batch_size=4, buckets=BUCKETS) as one:
        texts = [text.text for text in one.read(lines)]
        batch, widths, contents = backend.requests[-1]
    assert (batch.shape, str(batch.dtype)) == ((4, 48, 320, 3), "uint8")
    assert widths.tolist() == [320, 320, 320, 320]
    assert sorted(contents.tolist()) == [100, 250, 320, 320]
    with reader() as exact:
        assert texts == [text.text for text in exact.read(lines)]


def test_the_least_margin_of_a_line_comes_with_its_text() -> None:
    with reader() as one:  # its probabilities are all 0.5, which leaves as much for another class
        texts, margins = one.read_with_margins([line(100), line(400)])
    assert [text.text for text in texts] == [text.text for text in one_by_one(100, 400)]
    assert margins == [0.0, 0.0]


def one_by_one(*widths: int) -> list[TextLine]:
    with reader() as one:
        return [one.read([line(width)])[0] for width in widths]
