from __future__ import annotations

import pytest

from ocrhpi.recognition.geometry import line_geometry, text_fraction, unpadded_geometry
from ocrhpi.values import InputSpec, LineGeometry

SPEC = InputSpec()


@pytest.mark.parametrize(
    ("width", "height", "resized", "padded"),
    [
        (100, 48, 100, 320),  # short line: padded to the base width
        (320, 48, 320, 320),
        (500, 31, 774, 774),  # PaddleX 3.7 gives 774 here
        (333, 48, 333, 333),
        (3200, 48, 3200, 3200),
        (3201, 48, 3200, 3200),  # squeezed
        (20000, 4, 3200, 3200),
        (1, 500, 1, 320),
        (1, 1, 48, 320),
        (4, 20000, 1, 320),
    ],
)
def test_exact_widths(width: int, height: int, resized: int, padded: int) -> None:
    assert line_geometry(width, height, SPEC) == LineGeometry(resized, padded)


def test_resized_width_never_exceeds_padded_width() -> None:
    for width in range(1, 700, 7):
        for height in range(1, 90, 3):
            geometry = line_geometry(width, height, SPEC)
            assert 1 <= geometry.resized_width <= geometry.padded_width
            assert SPEC.base_width <= geometry.padded_width <= SPEC.max_width


def test_stretched_input_has_one_width() -> None:
    spec = InputSpec(stretch_width=256)
    assert line_geometry(10, 900, spec) == line_geometry(9000, 10, spec) == LineGeometry(256, 256)


def test_text_fraction_counts_the_line_without_padding() -> None:
    assert text_fraction(160, 48, SPEC) == pytest.approx(0.5)
    assert text_fraction(640, 48, SPEC) == 1.0


@pytest.mark.parametrize("width", [1, 100, 319, 320, 333, 3200, 9000])
def test_unpadded_lines_keep_their_resized_width(width: int) -> None:
    exact = line_geometry(width, 48, SPEC)
    assert unpadded_geometry(exact) == LineGeometry(min(width, 3200), min(width, 3200))
    assert unpadded_geometry(exact).padded_width <= exact.padded_width
