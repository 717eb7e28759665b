"""Pillow must give what OpenCV gives in the full package."""

from __future__ import annotations

import io
import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from ocrhpi.edge.images import MAX_PIXELS, read_image
from ocrhpi.errors import UnreadableInput, UnsupportedInput
from ocrhpi.recognition import decoding
from ocrhpi.recognition.inputs import DEFAULT_LIMITS, read_lines
from ocrhpi.values import LineImage
from tests.recognition.test_inputs_images import VARIANTS, picture
from tests.recognition.test_inputs_transparency import OPENCV_MAY_LACK, SAME_ALPHA, TRANSPARENT, lettering, on_ground

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


@pytest.mark.parametrize("name", [*TRANSPARENT, *SAME_ALPHA])
def test_transparent_images(name: str) -> None:
    data = {**TRANSPARENT, **SAME_ALPHA}[name]
    received = read_image(data)
    if name not in OPENCV_MAY_LACK or cv2_reads(data):
        np.testing.assert_array_equal(received, pixels_in_full(data))


def cv2_reads(data: bytes) -> bool:
    (line,) = read_lines(data)
    return isinstance(line, LineImage)


@pytest.mark.parametrize(("ink", "ground"), [(0, 255), (255, 0)])
def test_the_ground_of_transparent_arrays_and_pil_images(ink: int, ground: int) -> None:
    bgra = lettering(ink)
    expected = on_ground(bgra, ground)
    np.testing.assert_array_equal(read_image(bgra), expected)
    np.testing.assert_array_equal(read_image(Image.fromarray(bgra[..., [2, 1, 0, 3]])), expected)


def test_the_ground_is_told_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_grounds", itertools.count())
    for _ in range(2):
        read_image(TRANSPARENT["png black"])
    (record,) = (record for record in caplog.records if record.name == "ocrhpi")
    assert record.levelname == "WARNING"
    assert "bytes: a white ground was put under its transparent pixels" in record.message


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
