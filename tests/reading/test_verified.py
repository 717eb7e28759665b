"""Low precision first: what is read again, and when that ends."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ocrhpi.model import Model, ModelFiles
from ocrhpi.reading.base import Met, Shapes
from ocrhpi.reading.engine import EngineReader
from ocrhpi.reading.verified import WATCHED_LINES, VerifiedReader
from ocrhpi.testing import StripeBackend
from ocrhpi.values import Contents, Emissions, InputSpec, LineImage, NetworkInput, Widths

if TYPE_CHECKING:
    import pytest

    from ocrhpi.backends.base import Effective

MODEL = Model("stripes", Path("stripes"), ModelFiles(), InputSpec(), tuple("abcdefghijklmnopqrstuvwxyz"))
DARK, BRIGHT = 60, 220


class Low(StripeBackend):
    """Sure of dark lines; reads bright ones as dark, and hesitates there."""

    precision = "bf16"

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.lines = 0

    def _open(self) -> Effective:
        return replace(super()._open(), precision=self.precision)

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        self.lines += len(batch)
        bright = batch[:, 0, 0, 0] > 0
        read = super()._run(np.minimum(batch, 0), widths, contents, margin)
        return replace(
            read, probs=np.where(bright[:, None], np.float32(0.6), np.float32(0.95)) * np.ones_like(read.probs)
        )


class Full(Low):
    precision = "fp32"

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        self.lines += len(batch)
        return StripeBackend._run(self, batch, widths, contents, margin)


def line(brightness: int, width: int = 320) -> LineImage:
    return LineImage(np.full((48, width, 3), brightness, np.uint8))


class Pair:
    def __init__(self, threshold: float = 0.3, break_even: float = 0.5) -> None:
        self.low, self.full = Low(MODEL), Full(MODEL)
        self.reader = VerifiedReader(
            EngineReader(MODEL, self.low.open(), batch_size=8),
            EngineReader(MODEL, self.full.open(), batch_size=4),
            threshold=threshold,
            break_even=break_even,
        )


def expected(lines: list[LineImage]) -> list[str]:
    with EngineReader(MODEL, Full(MODEL).open()) as reader:
        return [text.text for text in reader.read(lines)]


def test_only_what_hesitates_is_read_again_and_every_text_is_that_of_full_precision() -> None:
    lines = [line(DARK), line(BRIGHT), line(DARK), line(BRIGHT), line(DARK)]
    pair = Pair()
    with pair.reader as reader:
        assert [text.text for text in reader.read(lines)] == expected(lines)
        assert (pair.low.lines, pair.full.lines) == (5, 2)
        assert reader.effective.precision == "bf16+fp32"
        assert reader.effective.settings["read_again"] == 0.4
        assert reader.batch_size == 8


def test_above_the_threshold_nothing_is_read_again() -> None:
    pair = Pair(threshold=0.1)  # the margin of a bright line is at least 2 * 0.6 - 1
    with pair.reader as reader:
        assert reader.read([line(BRIGHT)])[0].text != expected([line(BRIGHT)])[0]
        assert pair.full.lines == 0


def test_the_first_pass_looks_for_margins_up_to_the_threshold_and_the_second_for_none() -> None:
    pair = Pair()
    with pair.reader as reader:
        reader.read([line(DARK), line(BRIGHT)])
        assert (pair.low.margins, pair.full.margins) == ({0.3}, {0.0})


def test_margins_that_are_asked_for_are_those_of_the_text_that_is_kept() -> None:
    pair = Pair()
    with pair.reader as reader:
        dark, bright = reader.read([line(DARK), line(BRIGHT)], margin=0.5)
        assert (pair.low.margins, pair.full.margins) == ({0.5}, {0.5})
        reader.read([line(DARK)], margin=0.1)
        assert 0.3 in pair.low.margins, "never less than the threshold"
    assert dark.margin is not None
    assert dark.margin > 0.3
    assert bright.margin == 0.0  # full precision has 0.5 everywhere, which leaves as much for another class


def test_both_meet_the_shapes() -> None:
    pair = Pair()
    lines = [line(DARK, width) for width in (320, 320, 320, 500)]
    with pair.reader as reader:
        assert reader.shapes == Shapes(0, None)
        assert reader.meet(lines).shapes == 6
        assert reader.shapes == Shapes(6, None)
        reader.read(lines)
        assert reader.shapes == Shapes(6, None)
        assert reader.meet(lines) == Met()


def test_nothing_to_read() -> None:
    pair = Pair()
    with pair.reader as reader:
        assert reader.read([]) == []
        assert reader.effective.settings["read_again"] is None


def test_once_it_does_not_pay_full_precision_reads_alone_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    pair = Pair(break_even=0.5)
    chunk = [line(BRIGHT)] * 3 + [line(DARK)] * 2
    calls = WATCHED_LINES // len(chunk)
    with pair.reader as reader, caplog.at_level(logging.WARNING, "ocrhpi"):
        for _ in range(calls - 1):
            reader.read(chunk)
        assert not caplog.records, "too few lines to tell"
        reader.read(chunk)
        before = pair.low.lines
        assert [text.text for text in reader.read(chunk)] == expected(chunk)
        reader.read(chunk)
        assert pair.low.lines == before
        assert reader.effective.precision == "fp32"
        assert reader.engine_for(320).backend is pair.full
    (record,) = caplog.records
    assert record.message == (
        "verified bf16: 300 of the last 500 lines were in doubt, 60 % of their width, and up to 50 % pay; "
        "fp32 reads alone from here on"
    )


def test_wide_lines_in_doubt_count_by_their_width(caplog: pytest.LogCaptureFixture) -> None:
    pair = Pair(break_even=0.5)
    chunk = [line(BRIGHT, 960)] * 2 + [line(DARK)] * 3  # two of five lines, two thirds of the work
    with pair.reader as reader, caplog.at_level(logging.WARNING, "ocrhpi"):
        for _ in range(WATCHED_LINES // len(chunk)):
            reader.read(chunk)
    (record,) = caplog.records
    assert "200 of the last 500 lines were in doubt, 67 % of their width" in record.message


def test_only_the_latest_lines_count() -> None:
    pair = Pair(break_even=0.5)
    with pair.reader as reader:
        reader.read([line(BRIGHT)] * (WATCHED_LINES // 4))
        for _ in range(8):
            reader.read([line(DARK)] * (WATCHED_LINES // 4))
        assert reader.effective.settings["read_again"] == 0.0
        assert reader.effective.precision == "bf16+fp32"
