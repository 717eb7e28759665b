"""Lines padded as if in a batch with wider ones: where PaddleX's own text is wanted at its own batch size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ocrhpi.model import Model, ModelFiles
from ocrhpi.reading.engine import EngineReader
from ocrhpi.reading.split import SplitReader
from ocrhpi.recognition.geometry import geometry_of, line_geometry, text_fraction
from ocrhpi.testing import StripeBackend
from ocrhpi.values import InputSpec, LineGeometry, LineImage

SPEC = InputSpec()
MODEL = Model("stripes", Path("stripes"), ModelFiles(), SPEC, tuple("abcdefghijklmnopqrstuvwxyz"))


def line(width: int, height: int = 48, batch_ratio: float | None = None) -> LineImage:
    return LineImage(np.full((height, width, 3), width % 256, np.uint8), batch_ratio=batch_ratio)


@pytest.mark.parametrize(
    ("width", "ratio", "geometry"),
    [
        (100, None, LineGeometry(100, 320)),
        (100, 100 / 48, LineGeometry(100, 320)),
        (100, 500 / 31, LineGeometry(100, 774)),
        (900, 500 / 31, LineGeometry(900, 900)),
        (100, 1000.0, LineGeometry(100, 3200)),
        (5000, 1000.0, LineGeometry(3200, 3200)),
    ],
)
def test_the_ratio_gives_the_padding_of_the_batch(width: int, ratio: float | None, geometry: LineGeometry) -> None:
    assert geometry_of(line(width, batch_ratio=ratio), SPEC) == geometry


def test_the_widest_of_a_batch_is_padded_as_alone() -> None:
    for width in range(1, 4000, 37):
        for height in (7, 31, 48, 61):
            alone = geometry_of(line(width, height), SPEC)
            assert geometry_of(line(width, height, width / height), SPEC) == alone == line_geometry(width, height, SPEC)


def test_a_stretched_line_has_no_padding() -> None:
    assert geometry_of(line(100, batch_ratio=50.0), InputSpec(stretch_width=256)) == LineGeometry(256, 256)


def test_the_text_covers_less_of_a_wider_padding() -> None:
    assert text_fraction(160, 48, SPEC, 640 / 48) == pytest.approx(0.25)
    assert text_fraction(160, 48, SPEC, 1.0) == text_fraction(160, 48, SPEC) == pytest.approx(0.5)


def test_lines_of_one_batch_share_a_call_whatever_their_widths() -> None:
    widths, ratio = (100, 333, 640, 77), 640 / 48
    lines = [line(width, batch_ratio=ratio) for width in widths]
    with EngineReader(MODEL, StripeBackend(MODEL).open()) as reader:
        ((tensor, *_),) = reader.prepare(lines, batch_size=8)
        assert tensor.shape == (4, 3, 48, 640)
        assert all(not tensor[row, :, :, width:].any() for row, width in enumerate(widths))
        counts = [text.word_boxes.column_count for text in reader.read(lines, return_word_box=True) if text.word_boxes]
    assert counts == pytest.approx([80 * width / 640 for width in widths])  # 80 steps of 8 pixels


def test_a_split_goes_by_the_width_it_is_padded_to() -> None:
    narrow, wide = (EngineReader(MODEL, StripeBackend(MODEL).open()) for _ in range(2))
    with SplitReader(narrow, wide, up_to=400) as split:
        narrow.close()
        assert split.read([line(100, batch_ratio=640 / 48)])
