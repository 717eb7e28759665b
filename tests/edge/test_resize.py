"""OpenCV is the reference: every bit must be its own."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from ocrhpi.edge.images import resize, to_tensor
from ocrhpi.recognition import tensors
from ocrhpi.recognition.decoding import decode_image
from ocrhpi.recognition.geometry import line_geometry
from ocrhpi.tuning.calibration import load_calibration
from ocrhpi.values import InputSpec, LineGeometry, Pixels

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    platform.machine().lower() not in {"x86_64", "amd64"}, reason="OpenCV may round otherwise on other machines"
)
SPEC = InputSpec()
HEIGHT = SPEC.height


def noise(rows: int, columns: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), dtype=np.uint8)


def reference(image: Pixels, width: int, height: int = HEIGHT) -> Pixels:
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


def test_shipped_and_sample_lines(lines_dir: Path) -> None:
    images = [line.pixels for line in load_calibration().lines]
    images += [decode_image(path.read_bytes(), path.name, 10**9) for path in sorted(lines_dir.glob("*.png"))]
    assert len(images) > 250
    for image in images:
        width = line_geometry(image.shape[1], image.shape[0], SPEC).resized_width
        np.testing.assert_array_equal(resize(image, width, HEIGHT), reference(image, width))


def test_random_sizes_up_and_down() -> None:
    rng = np.random.default_rng(1)
    for number in range(400):
        rows, columns = (int(rng.integers(1, 200)) for _ in range(2))
        width, height = int(rng.integers(1, 400)), int(rng.integers(1, 100))
        image = noise(rows, columns, number)
        expected = reference(image, width, height)
        np.testing.assert_array_equal(resize(image, width, height), expected, f"{image.shape} -> {width} x {height}")


@pytest.mark.parametrize("rows", [1, 2, 3, 23, 24, 47, 48, 49, 95, 96, 97, 144, 1000])
@pytest.mark.parametrize("columns", [1, 2, 3, 7, 8, 9, 160, 640, 2000])
def test_the_geometry_of_lines(rows: int, columns: int) -> None:
    image = noise(rows, columns)
    width = line_geometry(columns, rows, SPEC).resized_width
    np.testing.assert_array_equal(resize(image, width, HEIGHT), reference(image, width))


@pytest.mark.parametrize("value", [0, 1, 2, 127, 128, 254, 255])
def test_even_areas(value: int) -> None:
    image = np.full((31, 77, 3), value, np.uint8)
    np.testing.assert_array_equal(resize(image, 119, HEIGHT), reference(image, 119))


def test_halving_is_the_mean() -> None:
    image = noise(96, 200)
    np.testing.assert_array_equal(resize(image, 100, HEIGHT), reference(image, 100))
    # Only of both sides at once.
    np.testing.assert_array_equal(resize(image, 101, HEIGHT), reference(image, 101))
    np.testing.assert_array_equal(resize(image[:95], 100, HEIGHT), reference(image[:95], 100))


def test_the_same_size_is_the_image_itself() -> None:
    image = noise(HEIGHT, 100)
    assert resize(image, 100, HEIGHT) is image


def test_views() -> None:
    page = noise(300, 400)
    for view in (page[10:50, 20:220], page[::2, ::3], page[:, ::-1], page.transpose(1, 0, 2)):
        np.testing.assert_array_equal(resize(view, 150, HEIGHT), reference(view.copy(), 150))


@pytest.mark.parametrize("color", ["BGR", "RGB"])
def test_tensors_are_those_of_the_full_package(color: str) -> None:
    spec = InputSpec(color="RGB" if color == "RGB" else "BGR")
    images = [noise(31, 150), noise(96, 640), noise(20, 3)]
    own = [line_geometry(image.shape[1], image.shape[0], spec) for image in images]
    padded = [LineGeometry(geometry.resized_width, 384) for geometry in own]
    expected = tensors.to_tensor(images, padded, spec, rows=4)
    received = to_tensor(images, own, (4, 384), spec)
    assert received.dtype == np.float32
    assert received.flags.c_contiguous
    np.testing.assert_array_equal(received, expected)
