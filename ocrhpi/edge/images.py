"""Step 1 on a device: paths, encoded bytes, arrays and PIL images -> pixels, decoded by Pillow instead of OpenCV."""

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
