"""Steps 1 and 4 on a device, by Pillow and numpy: images -> pixels -> network input, the same bits as by OpenCV.

OpenCV resizes uint8 in fixed point, across and then down. Along an axis from ``source`` to ``target`` pixels, with
``scale = 1 / (target / source)`` in float64, target pixel i lies at ``p = (i + 0.5) * scale - 0.5``, rounded to
float32; its taps are the source pixels ``floor(p)`` and ``floor(p) + 1``, its weights ``1 - f`` and ``f`` with the
fraction f of p, each times 2048 and rounded half to even (11 bits). With the sums h across (19 bits), rows join as

    (((b0 * (h0 >> 4)) >> 16) + ((b1 * (h1 >> 4)) >> 16) + 2) >> 2

which loses bits on the way, in OpenCV's scalar and vector code alike. Two peculiarities: taps beyond an end are moved
onto the last pixel, across with a fraction of 0, down with their fraction kept; and halving both sides exactly is the
mean of 2 x 2 pixels. On ARM, OpenCV may be built with kernels (KleidiCV, Carotene) that round otherwise; this gives the
bits of x86-64 everywhere.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ocrhpi.errors import UnreadableInput, UnsupportedInput
from ocrhpi.recognition.decoding import (
    PILLOW_FAULTS,
    check_encoded,
    is_pil_image,
    pixels_from_array,
    pixels_from_pil,
)
from ocrhpi.recognition.headers import transparent_colour

if TYPE_CHECKING:
    from typing import Any

    import numpy.typing as npt
    import PIL.Image

    from ocrhpi.values import Pixels

    Ints = npt.NDArray[np.int32]
    Positions = npt.NDArray[np.intp]
    Fractions = npt.NDArray[np.float32]
    from collections.abc import Sequence

    from ocrhpi.values import InputSpec, LineGeometry, Tensor

ImageInput: TypeAlias = "str | os.PathLike[str] | bytes | npt.NDArray[Any] | PIL.Image.Image"
"""A path, an encoded image, a BGR array or a PIL image."""

MAX_PIXELS = 178_956_970
"""Larger images are refused before they are decoded, as Pillow and `ocrhpi.recognition.inputs.Limits` do."""


def read_image(source: ImageInput) -> Pixels:
    """Read one image as a text line.

    Encoded images are what `ocrhpi.recognition.headers` knows, one line each; no PDF, no TIFF, no folder, no URL.

    Args:
        source: The image.

    Returns:
        (height, width, 3), uint8, BGR.

    Raises:
        UnsupportedInput: An object of another kind.
        UnreadableInput: It cannot be read as an image.
    """
    if isinstance(source, (str, os.PathLike)):
        where = os.fsdecode(source)
        return _decode(_content(where), where)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decode(bytes(source), "bytes")
    if isinstance(source, np.ndarray):
        return pixels_from_array(source, "array")
    if is_pil_image(source):
        return pixels_from_pil(source, "PIL image", MAX_PIXELS)
    raise UnsupportedInput(source)


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a Path would drop what errors should show as it was given
            return file.read()
    except OSError as error:
        raise UnreadableInput(path, (error.strerror or str(error)).lower()) from error
    except ValueError as error:
        raise UnreadableInput(repr(path), f"cannot be a path ({error})") from error


def _decode(data: bytes, where: str) -> Pixels:
    image_format = check_encoded(data, where, MAX_PIXELS)
    import PIL  # noqa: PLC0415 - arrays need no Pillow
    from PIL import Image  # noqa: PLC0415

    try:
        image = Image.open(io.BytesIO(data))
    except PILLOW_FAULTS as error:
        reason = f"Pillow {PIL.__version__} cannot decode this {image_format.name} ({str(error).rstrip('.')})"
        raise UnreadableInput(where, reason) from error
    return pixels_from_pil(image, where, MAX_PIXELS, transparent=transparent_colour(data))


_ONE = np.float32(1 << 11)


def resize(image: Pixels, width: int, height: int) -> Pixels:
    """Resize an image.

    Args:
        image: (rows, columns, C), uint8, of any memory layout.
        width: Columns of the result.
        height: Rows of the result.

    Returns:
        (height, width, C), uint8; the image itself where it has that size.
    """
    rows, columns, channels = image.shape
    if (rows, columns) == (height, width):
        return image
    if (rows, columns) == (2 * height, 2 * width):
        return _halved(image)
    first, fractions = _places(rows, height)
    upper, lower = np.clip(first, 0, rows - 1), np.clip(first + 1, 0, rows - 1)
    # Of a tall image most rows are no tap of any row of the result.
    needed, where = np.unique(np.concatenate((upper, lower)), return_inverse=True)
    across = _across(image[needed], width) >> 4
    upper_weights, lower_weights = (weights[:, None] for weights in _weights(fractions))
    mixed = (across[where[:height]] * upper_weights) >> 16
    mixed += (across[where[height:]] * lower_weights) >> 16
    mixed += 2
    mixed >>= 2
    return mixed.astype(np.uint8).reshape(height, width, channels)


def _across(rows: Pixels, width: int) -> Ints:
    """Resize each row to ``width`` pixels; return the sums, (rows, width * C)."""
    count, columns, channels = rows.shape
    first, fractions = _places(columns, width)
    outside = (first < 0) | (first >= columns - 1)
    fractions[outside] = 0
    first = np.clip(first, 0, columns - 1)
    second = np.minimum(first + 1, columns - 1)
    # One long axis of pixels and channels: numpy's loops over an axis of three are slow.
    flat = rows.reshape(count, columns * channels)
    first_weights, second_weights = (np.repeat(weights, channels) for weights in _weights(fractions))
    sums = flat.take(_elements(first, channels), axis=1) * first_weights
    sums += flat.take(_elements(second, channels), axis=1) * second_weights
    return sums


def _places(source: int, target: int) -> tuple[Positions, Fractions]:
    """Return for each target pixel the first of its two taps, which may lie outside, and the fraction of its place."""
    scale = 1.0 / (target / source)
    places = ((np.arange(target) + 0.5) * scale - 0.5).astype(np.float32)
    floors = np.floor(places)
    return floors.astype(np.intp), places - floors


def _weights(fractions: Fractions) -> tuple[Ints, Ints]:
    first, second = np.rint((1 - fractions) * _ONE), np.rint(fractions * _ONE)
    return first.astype(np.int32), second.astype(np.int32)


def _elements(pixels: Positions, channels: int) -> Positions:
    return (pixels[:, None] * channels + np.arange(channels)).ravel()


def _halved(image: Pixels) -> Pixels:
    wide = image.astype(np.uint16)
    sums = wide[::2, ::2] + wide[::2, 1::2] + wide[1::2, ::2] + wide[1::2, 1::2]
    return ((sums + 2) >> 2).astype(np.uint8)


_WEIGHTS = np.array([3735, 19235, 9798], np.int32)  # of blue, green and red


def to_tensor(
    images: Sequence[Pixels], geometries: Sequence[LineGeometry], shape: tuple[int, int], spec: InputSpec
) -> Tensor:
    """Resize, normalise and pad a batch of lines.

    Args:
        images: N images, each (height, width, 3), uint8, BGR.
        geometries: Their N geometries.
        shape: Rows R, at least N, and width W in pixels of the tensor; no line is wider.
        spec: The model's input; gives H.

    Returns:
        (R, C, H, W), float32, C-contiguous; pixels in [-1, 1], padding 0, channels as ``spec.color``.
    """
    rows, width = shape
    tensor = np.zeros((rows, spec.channels, spec.height, width), np.float32)
    for row, image, geometry in zip(tensor[: len(images)], images, geometries, strict=True):
        pixels = _luminance(image) if spec.color == "GRAY" else image
        values = resize(pixels, geometry.resized_width, spec.height).astype(np.float32)
        # In this order, and each rounded to float32; without OpenCV's look-up, quicker than one of numpy's.
        values /= 255
        values -= 0.5
        values /= 0.5
        channels = values[..., ::-1] if spec.color == "RGB" else values
        row[:, :, : geometry.resized_width] = channels.transpose(2, 0, 1)
    return tensor


def _luminance(image: Pixels) -> Pixels:
    """Return (height, width, 1), as OpenCV's ``COLOR_BGR2GRAY`` rounds it: weights of 15 bits."""
    weighed = image.astype(np.int32) @ _WEIGHTS
    return ((weighed + (1 << 14)) >> 15).astype(np.uint8)[..., np.newaxis]
