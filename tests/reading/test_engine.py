"""One engine: widths and batches of each batching policy, its shapes, and the engine alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocrhpi.model import Model, ModelFiles
from ocrhpi.reading.base import Met, Shapes
from ocrhpi.reading.engine import EngineReader
from ocrhpi.reading.split import SplitReader
from ocrhpi.recognition.batching import shapes_of, width_ladder
from ocrhpi.testing import StripeBackend
from ocrhpi.values import Batching, Contents, Emissions, InputSpec, LineImage, NetworkInput, TextLine, Widths
from tests.fakes import PixelStripeBackend

MODEL = Model("stripes", Path("stripes"), ModelFiles(), InputSpec(), tuple("abcdefghijklmnopqrstuvwxyz"))


class OnGpu(StripeBackend):
    runs_on = "gpu:0"


class PixelsOnGpu(PixelStripeBackend):
    runs_on = "gpu:0"


class Counting(StripeBackend):
    """Remembers the shapes of its batches; takes two at a time."""

    parallel_requests = 2

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.shapes: list[tuple[int, int]] = []

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        self.shapes.append((batch.shape[0], batch.shape[3]))
        return super()._run(batch, widths, contents, margin)


def reader(batching: Batching = "exact", **options: Any) -> EngineReader:
    return EngineReader(MODEL, StripeBackend(MODEL).open(), batching=batching, **options)


def line(width: int) -> LineImage:
    return LineImage(np.full((48, width, 3), width % 256, np.uint8))


def one_by_one(*widths: int) -> list[TextLine]:
    with reader() as one:
        return [one.read([line(width)])[0] for width in widths]


@pytest.mark.parametrize(
    ("batching", "ladder", "expected"),
    [
        ("exact", (), {100: 320, 320: 320, 333: 333, 1000: 1000}),
        ("rounded", width_ladder(64, 320, 3200), {100: 320, 320: 320, 333: 384, 1000: 1024}),
        ("rounded", width_ladder(32, 320, 3200), {100: 320, 320: 320, 333: 352, 1000: 1024}),
        ("natural", width_ladder(32, 32, 3200), {100: 128, 320: 320, 333: 352, 1000: 1024, 9000: 3200}),
        ("natural", (), {100: 100, 333: 333}),
    ],
)
def test_widths_of_each_policy(batching: Batching, ladder: tuple[int, ...], expected: dict[int, int]) -> None:
    with reader(batching, ladder=ladder) as one:
        for width, padded in expected.items():
            ((tensor, widths, _),) = one.prepare([line(width)])
            assert (tensor.shape, widths) == ((1, 3, 48, padded), None)
            assert not tensor[..., min(width, padded) :].any(), "beyond the line there is padding"


def test_its_own_batch_size_holds_where_the_caller_says_none() -> None:
    lines = [line(200)] * 10
    with reader(batch_size=4) as one:
        assert [len(tensor) for tensor, *_ in one.prepare(lines)] == [4, 4, 2]
        assert [len(tensor) for tensor, *_ in one.prepare(lines, batch_size=10)] == [8, 2]
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
    with reader("rounded", batch_size=4, ladder=BUCKETS) as one:
        shapes = [tensor.shape for tensor, *_ in one.prepare(lines)]
        assert shapes == [(1, 3, 48, 3200), (1, 3, 48, 3200), (2, 3, 48, 640), (4, 3, 48, 320), (1, 3, 48, 320)]
        together = [text.text for text in one.read(lines)]
        assert together == [one.read([alone])[0].text for alone in lines]


def test_where_calls_are_dear_empty_rows_fill_a_batch_up_to_a_power_of_two() -> None:
    lines = [line(width) for width in (100, 200, 300)]
    with EngineReader(MODEL, OnGpu(MODEL).open(), batch_size=4) as one:
        ((tensor, widths, contents),) = one.prepare(lines)
        assert (tensor.shape[0], widths, contents) == (4, None, None)
        assert not tensor[3].any()
        assert one.read(lines) == one_by_one(100, 200, 300)
        texts = one.read(lines, return_word_box=True, margin=0.2)
        assert len([text for text in texts if text.word_boxes and text.margin is not None]) == 3
    with reader(batch_size=4) as on_cpu:
        assert [len(tensor) for tensor, *_ in on_cpu.prepare(lines)] == [2, 1]


@pytest.mark.parametrize("kind", [PixelStripeBackend, PixelsOnGpu])
def test_a_graph_that_normalises_gets_pixels_and_reads_the_same(kind: type[PixelStripeBackend]) -> None:
    sizes = (100, 333, 320, 900, 250, 70, 71)
    backend = kind(MODEL)
    with EngineReader(MODEL, backend.open(), batching="masked", batch_size=4, ladder=BUCKETS) as one:
        texts = one.read([line(width) for width in sizes])
    assert [text.text for text in texts] == [text.text for text in one_by_one(*sizes)]
    seen = []
    for batch, widths, contents in backend.requests:
        assert (batch.shape[1], batch.shape[3], str(batch.dtype)) == (48, 3, "uint8")
        assert [str(counts.dtype) for counts in (widths, contents)] == ["int32", "int32"]
        assert len(batch) == len(widths) == len(contents)
        filled = [row for row in range(len(batch)) if batch[row].any()]
        assert filled == list(range(len(filled))), "lines first, then empty rows"
        seen += [(int(contents[row]), int(widths[row])) for row in filled]
        assert {int(width) for width in [*widths[len(filled) :], *contents[len(filled) :]]} <= {batch.shape[2]}
    assert sorted(seen) == sorted((width, max(width, 320)) for width in sizes)
    assert len(backend.requests) == (3 if kind is PixelsOnGpu else 4)


def test_masked_lines_of_different_widths_share_batches_as_wide_as_the_widest() -> None:
    backend = PixelStripeBackend(MODEL)
    ladder = width_ladder(64, 320, 3200)
    with EngineReader(MODEL, backend.open(), batching="masked", batch_size=8, ladder=ladder) as one:
        one.read([line(width) for width in (470, 500, 455, 505)])
    ((batch, widths, contents),) = backend.requests
    assert batch.shape[:3] == (4, 48, 512)
    assert widths.tolist() == contents.tolist() == [505, 500, 470, 455]


def test_the_margin_of_a_line_comes_with_its_text_where_it_is_asked_for() -> None:
    backend = StripeBackend(MODEL)
    with EngineReader(MODEL, backend.open()) as one:
        plain = one.read([line(100), line(400)])
        assert [text.margin for text in plain] == [None, None]
        assert backend.margins == {0.0}
        texts = one.read([line(100), line(400)], margin=0.2)
    assert backend.margins == {0.0, 0.2}
    assert [text.text for text in texts] == [text.text for text in plain]
    assert [text.margin for text in texts] == [0.0, 0.0]  # all is 0.5, which leaves as much for another class


def test_margins_belong_to_their_lines_whatever_the_batches() -> None:
    class Hesitant(OnGpu):
        """The darker the line, the less sure."""

        def _run(
            self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float
        ) -> Emissions:
            found = super()._run(batch, widths, contents, margin).indices
            sure = 0.5 + (batch[:, 0, 0, 0] + 1) / 4
            full = np.zeros((*found.shape, len(self.model.labels)), np.float32)
            np.put_along_axis(full, found[..., None], sure[:, None, None], axis=-1)
            np.put_along_axis(full, (found[..., None] + 1) % 26, 1 - sure[:, None, None], axis=-1)
            return self._reduce(full, margin)

    lines = [line(width) for width in (250, 333, 60, 340, 20, 100, 900)]
    with EngineReader(MODEL, Hesitant(MODEL).open(), batch_size=4) as one:
        together = one.read(lines, margin=0.9)
        assert together == [one.read([alone], margin=0.9)[0] for alone in lines]
    margins = [text.margin for text in together]
    assert margins[0] == 1.0, "no near-tie within the margin"
    assert all(found is not None and 0 < found < 0.9 for found in margins[1:])


def test_exact_widths_have_no_end() -> None:
    with reader(batch_size=8) as one:
        assert one.shapes == Shapes(0, None)
        one.read([line(width) for width in range(320, 330)])
        one.read([line(width) for width in range(320, 330)])
        assert one.shapes == Shapes(10, None)


def test_on_a_ladder_few_shapes_are_seen() -> None:
    ladder = width_ladder(64, 320, 3200)
    rng = np.random.default_rng(0)
    with EngineReader(MODEL, Counting(MODEL).open(), batching="rounded", batch_size=8, ladder=ladder) as one:
        assert one.shapes == Shapes(0, len(shapes_of(ladder, 2560))) == Shapes(0, 46)
        for _ in range(20):
            one.read([line(int(width)) for width in rng.integers(1, 3300, 40)])
        backend = one.backend
        assert isinstance(backend, Counting)
        assert one.shapes.seen == len(set(backend.shapes)) <= 46
        assert set(backend.shapes) <= set(shapes_of(ladder, 2560))


def test_a_stretched_model_has_the_shapes_of_one_width() -> None:
    model = MODEL.stretched(256)
    with EngineReader(model, StripeBackend(model).open(), batch_size=4, ladder=(256,)) as one:
        one.read([line(width) for width in range(100, 900, 9)])
        assert one.shapes == Shapes(2, 3)


def test_shapes_are_met_once_and_cost_nothing_from_then_on() -> None:
    backend = Counting(MODEL)
    lines = [line(width) for width in (100, 200, 300, 333, 1000)]
    with EngineReader(MODEL, backend.open(), batch_size=4) as one:
        assert one.meet(lines).shapes == 4
        assert one.shapes.seen == 4
        # Each in both requests, twice: one call to meet it, one to tell what that took.
        assert sorted(backend.shapes) == sorted([(2, 320), (1, 320), (1, 333), (1, 1000)] * 4)
        assert one.meet(lines) == Met()
        assert len(backend.shapes) == 16
        assert [text.text for text in one.read(lines)] == [text.text for text in one_by_one(100, 200, 300, 333, 1000)]
        assert one.shapes.seen == 4
        assert one.meet([]) == Met()


@pytest.mark.parametrize(("requests", "again"), [(1, set()), (2, {(1, 320)})])
def test_what_one_request_has_read_only_the_others_must_meet(requests: int, again: set[tuple[int, int]]) -> None:
    backend = type("Parallel", (Counting,), {"parallel_requests": requests})(MODEL)
    with EngineReader(MODEL, backend.open(), batch_size=4) as one:
        one.read([line(100)] * 3)
        del backend.shapes[:]
        assert one.meet([line(100)]) == Met(), "a second sight, which does not count"
        assert set(backend.shapes) == again
        one.meet([line(100)] * 4)
        assert set(backend.shapes) == {*again, (4, 320)}
        assert one.meet([line(100)] * 5) == Met()


def test_meeting_counts_what_the_first_call_takes_beyond_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([5.0, 2.0, 1.0, 4.0])
    monkeypatch.setattr(EngineReader, "_time_blank", lambda *_: next(seconds))
    with reader() as one:
        assert one.meet([line(100)]) == Met(1, 3.0)
        assert one.meet([line(400)]) == Met(1, 0.0), "never below nothing"
        assert one.shapes.seen == 2


@pytest.mark.parametrize("kind", [PixelStripeBackend, PixelsOnGpu])
def test_a_masked_pixel_graph_meets_its_shapes_too(kind: type[PixelStripeBackend]) -> None:
    backend = kind(MODEL)
    with EngineReader(MODEL, backend.open(), batching="masked", batch_size=4, ladder=BUCKETS) as one:
        one.meet([line(100), line(600)])
    for batch, widths, contents in backend.requests:
        assert widths.tolist() == contents.tolist() == [batch.shape[2]] * len(batch)
