from __future__ import annotations

import cv2
import numpy as np
import pytest

from ocrhpi.recognition.geometry import line_geometry
from ocrhpi.recognition.tensors import to_pixels, to_tensor
from ocrhpi.values import InputSpec, LineGeometry

SPEC = InputSpec()


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_values_are_those_of_the_three_float32_operations() -> None:
    image = noise(31, 150)
    geometry = line_geometry(150, 31, SPEC)
    tensor = to_tensor([image], [geometry], SPEC)
    expected = cv2.resize(image, (geometry.resized_width, 48)).astype(np.float32).transpose(2, 0, 1)
    expected /= 255
    expected -= 0.5
    expected /= 0.5
    assert tensor.shape == (1, 3, 48, 320)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    np.testing.assert_array_equal(tensor[0, :, :, : geometry.resized_width], expected)
    assert not tensor[0, :, :, geometry.resized_width :].any()


def test_a_line_is_the_same_alone_and_in_a_batch() -> None:
    images = [noise(48, width, width) for width in (10, 200, 320)]
    geometries = [line_geometry(image.shape[1], 48, SPEC) for image in images]
    together = to_tensor(images, geometries, SPEC)
    for row, image, geometry in zip(together, images, geometries, strict=True):
        np.testing.assert_array_equal(row, to_tensor([image], [geometry], SPEC)[0])


def test_rgb_models_get_their_channels_reversed() -> None:
    image, geometry = noise(48, 100), LineGeometry(100, 320)
    bgr = to_tensor([image], [geometry], SPEC)
    rgb = to_tensor([image], [geometry], InputSpec(color="RGB"))
    np.testing.assert_array_equal(rgb, bgr[:, ::-1])


def test_views_of_larger_images_are_read_correctly() -> None:
    page = noise(200, 300)
    line = page[10:58, 20:120]
    geometry = LineGeometry(100, 320)
    np.testing.assert_array_equal(to_tensor([line], [geometry], SPEC), to_tensor([line.copy()], [geometry], SPEC))


def test_pixels_normalised_are_the_tensor() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40, width, 3), np.uint8) for width in (100, 300)]
    geometries = [LineGeometry(120, 400), LineGeometry(360, 400)]
    for spec in (SPEC, InputSpec(color="RGB")):
        pixels = to_pixels(images, geometries, spec)
        assert (pixels.shape, str(pixels.dtype), pixels.flags.c_contiguous) == ((2, 48, 400, 3), "uint8", True)
        normalised = ((pixels.astype(np.float32) / 255 - np.float32(0.5)) / np.float32(0.5)).transpose(0, 3, 1, 2)
        tensor = to_tensor(images, geometries, spec)
        for row, geometry in enumerate(geometries):
            inside = geometry.resized_width
            np.testing.assert_array_equal(normalised[row, ..., :inside], tensor[row, ..., :inside])
            assert not pixels[row, :, inside:].any()


@pytest.mark.parametrize("rows", [2, 3, 8])
def test_rows_after_the_lines_are_empty(rows: int) -> None:
    images, geometries = [noise(48, 100), noise(48, 200)], [LineGeometry(100, 320), LineGeometry(200, 320)]
    for make in (to_tensor, to_pixels):
        whole = make(images, geometries, SPEC, rows=rows)
        assert len(whole) == rows
        assert whole.flags.c_contiguous
        np.testing.assert_array_equal(whole[:2], make(images, geometries, SPEC))
        assert not whole[2:].any()
