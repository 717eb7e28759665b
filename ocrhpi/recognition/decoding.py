"""Walk A, step 1: encoded bytes, arrays and PIL images -> pixels (BGR, uint8).

Encoded images are read as `cv2.imdecode(…, cv2.IMREAD_COLOR)` reads them, because the peers do and the text
must not depend on who decoded: EXIF orientation applied, alpha dropped, 16 bits cut to 8, grey spread over
three channels, the first frame of an animation. Arrays and PIL images of the same content give the same.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import numpy as np

from ocrhpi.errors import UnreadableInput
from ocrhpi.recognition.headers import HEAD_BYTES, sniff

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import Image

    from ocrhpi.recognition.headers import ImageFormat
    from ocrhpi.values import Pixels

__all__ = [
    "PILLOW_FAULTS",
    "check_encoded",
    "check_pixel_count",
    "decode_image",
    "is_pil_image",
    "pixels_from_array",
    "pixels_from_pil",
]

PILLOW_FAULTS = (
    # What Pillow's readers raise on damaged data. Warning: a user may have turned warnings into errors.
    OSError,
    ValueError,
    SyntaxError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    EOFError,
    struct.error,
    Warning,
)

_GREY_OR_COLOUR = (1, 3, 4)
_UINT16_BYTES = 2
_GREY_AXES, _IMAGE_AXES, _STACK_AXES = 2, 3, 4
_PIL_16_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
_PIL_16_BIT_IN_32 = (
    "PNG",
    "PPM",
)  # formats without 32-bit pixels that Pillow (PNG: before 11) opens as mode I


def check_pixel_count(width: int, height: int, max_pixels: int, where: str, page_index: int | None = None) -> None:
    """Refuse an image that would take more pixels than allowed, before it is decoded.

    Raises:
        UnreadableInput: ``width * height`` exceeds ``max_pixels``.
    """
    if width * height > max_pixels:
        raise UnreadableInput(
            where,
            f"{width} x {height} = {width * height} pixels are more than the limit of {max_pixels}; "
            "raise the option max_pixels if the image is meant to be that large",
            page_index,
        )


def check_encoded(data: bytes, where: str, max_pixels: int) -> ImageFormat:
    """Return the format of an encoded image that is whole and not too large, without decoding it.

    Args:
        data: The whole file.
        where: Names the input in errors.
        max_pixels: Larger images are refused.

    Raises:
        UnreadableInput: Not an image, cut off, damaged in its header, or too large.
    """
    image_format = sniff(data[:HEAD_BYTES])
    if image_format is None:
        raise UnreadableInput(where, _not_an_image(data))
    size = image_format.read_size(data)
    if size is None:
        raise UnreadableInput(where, f"the {image_format.name} header is damaged or cut off")
    check_pixel_count(*size, max_pixels, where)
    if not image_format.is_whole(data):
        raise UnreadableInput(where, f"the {image_format.name} data is cut off; copy or download it again")
    return image_format


def decode_image(data: bytes, where: str, max_pixels: int) -> Pixels:
    """Decode one encoded image.

    Args:
        data: The whole file.
        where: Names the input in errors.
        max_pixels: Larger images are refused.

    Raises:
        UnreadableInput: Not an image, cut off, damaged, or too large.
    """
    import cv2  # noqa: PLC0415 - the edge runner decodes without it

    image_format = check_encoded(data, where, max_pixels)
    try:
        # The stubs promise an array; undecodable data gives None.
        pixels = cast("Pixels | None", cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    except cv2.error as error:
        raise UnreadableInput(where, f"OpenCV cannot decode this {image_format.name} ({error.err})") from error
    if pixels is None:
        raise UnreadableInput(
            where,
            f"OpenCV {cv2.__version__} cannot decode this {image_format.name}; it is damaged, or of a kind that "
            "only a newer OpenCV reads (animations need 4.11)",
        )
    return pixels


def _not_an_image(data: bytes) -> str:
    if not data:
        return "is empty (0 bytes)"
    if data[4:8] == b"ftyp":
        return "HEIC and other containers of this kind cannot be read; convert the image to PNG or JPEG"
    return f"is not an image, a TIFF or a PDF; its content begins with {data[:16]!r}"


def pixels_from_array(array: npt.NDArray[Any], where: str) -> Pixels:
    """Take an array as an image; BGR uint8 is passed on as it is, without a copy.

    Args:
        array: (H, W), (H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA; uint8 or uint16.
        where: Names the input in errors.

    Raises:
        UnreadableInput: Another shape or dtype; the error says how to convert.
    """
    problem = _dtype_problem(array.dtype) or _shape_problem(array.shape)
    if problem:
        raise UnreadableInput(where, problem)
    if array.dtype.itemsize > 1:
        array = array >> 8  # as imdecode does for 16-bit files
    pixels = array.astype(np.uint8, copy=False)
    if pixels.ndim == _GREY_AXES or pixels.shape[2] == 1:
        return _spread_grey(pixels.reshape(pixels.shape[:2]))
    return pixels if pixels.shape[2] == 3 else np.ascontiguousarray(pixels[..., :3])  # noqa: PLR2004 - BGR


def _spread_grey(grey: npt.NDArray[np.uint8]) -> Pixels:
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


def _dtype_problem(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "u" and dtype.itemsize <= _UINT16_BYTES:  # of either byte order
        return ""
    cures = {
        "f": "values in 0..1: (img * 255).clip(0, 255).astype(np.uint8); "
        "values in 0..255: img.clip(0, 255).astype(np.uint8)",
        "b": "convert it with img.astype(np.uint8) * 255",
        "i": "convert it with img.clip(0, 255).astype(np.uint8)",
        "u": "convert it with img.clip(0, 255).astype(np.uint8)",
    }
    cure = cures.get(dtype.kind, "pass a list if these are several images or paths")
    return f"expected dtype uint8 (or uint16), got {dtype}; {cure}"


def _shape_problem(shape: tuple[int, ...]) -> str:
    expected = "expected (height, width), (height, width, 3) BGR or (height, width, 4) BGRA"
    if 0 in shape:
        return f"an array of shape {shape} holds no pixels"
    if len(shape) == _STACK_AXES:
        return f"{expected}, got {shape}; for several images pass a list of images: list(array)"
    if len(shape) not in (_GREY_AXES, _IMAGE_AXES):
        return f"{expected}, got shape {shape}"
    if len(shape) == _GREY_AXES or shape[2] in _GREY_OR_COLOUR:
        return ""
    if shape[0] in _GREY_OR_COLOUR:
        return f"{expected}, got {shape}, channels first; transpose it with img.transpose(1, 2, 0)"
    return f"{expected}, got {shape}"


def is_pil_image(item: object) -> TypeGuard[Image.Image]:
    """Tell whether ``item`` is a PIL image, without loading PIL: it cannot be one if PIL is not loaded."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(item, module.Image)


def pixels_from_pil(image: Image.Image, where: str, max_pixels: int, page_index: int | None = None) -> Pixels:
    """Take the current frame of a PIL image, which is left as it is.

    Args:
        image: Of any mode that Pillow can turn into RGB, or of 16 bits; not float, not 32-bit integers.
        where: Names the input in errors.
        max_pixels: Larger images are refused before they are loaded.
        page_index: For errors, where the image is a page.

    Raises:
        UnreadableInput: An unfitting mode, no pixels, or pixels that cannot be loaded.
    """
    from PIL import ImageOps  # noqa: PLC0415 - plain image reading does without Pillow

    width, height = image.size
    if not width * height:
        raise UnreadableInput(where, f"an image of {width} x {height} holds no pixels", page_index)
    check_pixel_count(width, height, max_pixels, where, page_index)
    if image.mode == "F" or (image.mode == "I" and image.format not in _PIL_16_BIT_IN_32):
        raise UnreadableInput(where, _deep_mode_problem(image.mode), page_index)
    try:
        image.load()  # first: for TIFF it also turns the image upright and forgets the orientation
        upright = ImageOps.exif_transpose(image)
        if upright.mode == "I" or upright.mode in _PIL_16_BIT:
            return _spread_grey((np.asarray(upright) >> 8).astype(np.uint8))
        return _as_bgr(upright)
    except PILLOW_FAULTS as error:
        raise UnreadableInput(where, f"Pillow cannot read it ({str(error).rstrip('.')})", page_index) from error


def _as_bgr(image: Image.Image) -> Pixels:
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB, Pillow warns of lost transparency
    # Pillow itself turns the channels around: numpy takes several times as long, and OpenCV need not be there.
    data = bytearray(image.convert("RGB").tobytes("raw", "BGR"))
    return np.frombuffer(data, np.uint8).reshape(image.height, image.width, 3)


def _deep_mode_problem(mode: str) -> str:
    kind = "float" if mode == "F" else "32-bit integer"
    return (
        f"its pixels are {kind} (mode {mode!r}), of unknown range; scale them to 0..255 and convert "
        "them to 8 bits: Image.fromarray(np.asarray(img).clip(0, 255).astype(np.uint8))"
    )
