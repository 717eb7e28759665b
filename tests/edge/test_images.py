"""Pillow must give what OpenCV gives in the full package."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from ocrhpi.edge.images import MAX_PIXELS, read_image
from ocrhpi.errors import UnreadableInput, UnsupportedInput
from ocrhpi.recognition.inputs import DEFAULT_LIMITS, read_lines
from ocrhpi.values import LineImage
from tests.recognition.test_inputs_images import VARIANTS, picture

if TYPE_CHECKING:
    from pathlib import Path

NEARLY = {"jpeg cmyk": 3}  # there is no one formula for CMYK


def pixels_in_full(data: bytes) -> np.ndarray:
    (line,) = read_lines(data)
    assert isinstance(line, LineImage)
    return line.pixels


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in {"apng", "jpeg 2000"}])
def test_encoded_images(name: str) -> None:
    expected = pixels_in_full(VARIANTS[name])
    received = read_image(VARIANTS[name])
    assert received.dtype == np.uint8
    assert received.shape == expected.shape
    assert np.abs(received.astype(int) - expected).max() <= NEARLY.get(name, 0)


def test_sample_lines(lines_dir: Path) -> None:
    for path in sorted(lines_dir.glob("*.png")):
        np.testing.assert_array_equal(read_image(path), pixels_in_full(path.read_bytes()))


@pytest.mark.parametrize("quality", [20, 75, 95])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_is_decoded_alike(quality: int, subsampling: int) -> None:
    for width in (17, 64, 301):
        file = io.BytesIO()
        Image.fromarray(picture()).resize((width, 37)).save(file, "JPEG", quality=quality, subsampling=subsampling)
        np.testing.assert_array_equal(read_image(file.getvalue()), pixels_in_full(file.getvalue()))


def test_arrays_and_pil_images() -> None:
    array = picture()
    assert read_image(array) is array
    assert read_image(array[..., 0]).shape == array.shape
    np.testing.assert_array_equal(read_image(Image.fromarray(array[..., ::-1])), array)


def test_the_limit_is_that_of_the_full_package() -> None:
    assert DEFAULT_LIMITS.max_pixels == MAX_PIXELS


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"text", "not an image"),
        (VARIANTS["png"][:-30], "cut off"),
        (VARIANTS["jpeg"][:-30], "cut off"),
        (VARIANTS["png"][:40] + bytes(40) + VARIANTS["png"][80:], "Pillow"),
        (b"%PDF-1.4", "not an image"),
    ],
)
def test_unreadable_bytes(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableInput, match=reason):
        read_image(data)


def test_unreadable_paths(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match=r"none\.png: no such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(UnreadableInput, match=r"is a directory|permission denied"):
        read_image(tmp_path)
    with pytest.raises(UnreadableInput, match="cannot be a path"):
        read_image("a\0b")


def test_unfit_objects() -> None:
    with pytest.raises(UnsupportedInput, match=r"builtins\.int"):
        read_image(3)  # type: ignore[arg-type]
    with pytest.raises(UnreadableInput, match="float"):
        read_image(np.zeros((3, 4), np.float32))
