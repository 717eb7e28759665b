"""Which batches come where widths are few, and the ranges that TensorRT builds for."""

from __future__ import annotations

import numpy as np
import pytest

from ocrhpi.backends.ort.options import (
    GraphInputs,
    bucket_profiles,
    fixed_shapes,
    profile_text,
)

SHAPES = [(4, 320), (2, 640), (1, 3200)]
PLAIN = GraphInputs(("x",), pixels=False, height=48)
MASKED = GraphInputs(("x", "widths"), pixels=False, height=48)
PIXELS = GraphInputs(("pixels", "contents", "widths"), pixels=True, height=48)


def test_every_power_of_two_up_to_the_most_comes_narrow_ones_first() -> None:
    assert fixed_shapes(SHAPES) == [(4, 320), (2, 320), (1, 320), (2, 640), (1, 640), (1, 3200)]
    assert fixed_shapes([(12, 320)]) == [(12, 320), (4, 320), (2, 320), (1, 320)]
    assert fixed_shapes([]) == []


def test_a_profile_for_each_width_holds_its_batches_and_no_other() -> None:
    profiles = bucket_profiles(SHAPES)
    assert len(profiles) == 3
    for shape in fixed_shapes(SHAPES):
        assert sum(profile.holds(shape) for profile in profiles) == 1
    assert not any(profile.holds(shape) for profile in profiles for shape in [(5, 320), (1, 480), (3, 640), (1, 3201)])


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (PLAIN, "x:2x3x48x640"),
        (MASKED, "x:2x3x48x640,widths:2"),
        (PIXELS, "pixels:2x48x640x3,contents:2,widths:2"),
    ],
    ids=["plain", "masked", "pixels"],
)
def test_profiles_are_written_as_onnx_runtime_reads_them(inputs: GraphInputs, text: str) -> None:
    assert profile_text(inputs, [(2, 640)]) == text


def test_several_profiles_repeat_the_names() -> None:
    assert profile_text(MASKED, [(1, 320), (4, 320)]) == "x:1x3x48x320,widths:1,x:4x3x48x320,widths:4"


def test_a_sample_is_a_batch_of_that_shape() -> None:
    pixels, contents, widths = PIXELS.sample(2, 640)
    assert pixels.shape == (2, 48, 640, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(contents, np.array([640, 640], np.int32))
    assert widths.dtype == np.int32
    (batch,) = PLAIN.sample(3, 320)
    assert batch.shape == (3, 3, 48, 320)
    assert batch.dtype == np.float32
    assert PLAIN.shape_of(batch) == (3, 320)
    assert PIXELS.shape_of(pixels) == (2, 640)
