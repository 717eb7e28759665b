"""Recognition, step 1: encoded bytes, arrays and PIL images -> pixels (BGR, uint8).

Encoded images are read as `cv2.imdecode(…, cv2.IMREAD_COLOR)` reads them, because the peers do and the text
must not depend on who decoded: EXIF orientation applied, 16 bits cut to 8, grey spread over three channels, the
first frame of an animation. Arrays and PIL images of the same content give the same.

Only partly transparent images are read otherwise: the peers drop alpha, so that black text on a transparent ground
is black on black and reads as nothing. Here such an image is put on a ground from which it stands out, white or
black (`on_contrasting_ground`). Where all pixels are opaque, or none is, the colours are taken as they are stored.
"""

from __future__ import annotations

import io
import itertools
import logging
import struct
import sys
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import numpy as np

from ocrhpi.errors import UnreadableInput
from ocrhpi.recognition.headers import HEAD_BYTES, may_be_turned, sniff, transparent_colour

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import Image

    from ocrhpi.recognition.headers import ImageFormat
    from ocrhpi.values import Pixels

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

_OPAQUE = 255
_WITH_ALPHA = ("RGBA", "LA", "PA")
_PREMULTIPLIED = {"RGBa": "RGBA", "La": "LA"}
_GREY_OR_COLOUR = (1, 3, 4)
_UINT16_BYTES = 2
_GREY_AXES, _IMAGE_AXES, _STACK_AXES = 2, 3, 4
_PIL_16_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
_WITH_TRANSPARENT_COLOUR = ("1", "L", "RGB", "I", *_PIL_16_BIT)
_PIL_16_BIT_IN_32 = (
    "PNG",
    "PPM",
)  # formats without 32-bit pixels that Pillow (PNG: before 11) opens as mode I

_log = logging.getLogger("ocrhpi")
_grounds = itertools.count()  # laid in this process


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
    image_format = check_encoded(data, where, max_pixels)
    if not image_format.may_have_alpha(data):
        return _colour(data, where, image_format)
    colour = transparent_colour(data)
    if colour is not None:
        pixels = _colour(data, where, image_format)
        return on_contrasting_ground(pixels, _alpha_beside(colour, pixels), where)
    # Of the two, only the decoding of colours alone turns images. JPEG 2000 may hold CMYK or what OpenCV cannot decode.
    if not may_be_turned(data) and image_format.name != "JPEG 2000":
        decoded = _imdecode(data, where, image_format, colour_only=False)
        if decoded.ndim == _IMAGE_AXES and decoded.shape[2] == 4:  # noqa: PLR2004 - BGRA
            return pixels_from_array(decoded, where)
    on_ground = _by_pillow(data, where)
    return _colour(data, where, image_format) if on_ground is None else on_ground


def _colour(data: bytes, where: str, image_format: ImageFormat) -> Pixels:
    return cast("Pixels", _imdecode(data, where, image_format, colour_only=True))


def _imdecode(data: bytes, where: str, image_format: ImageFormat, *, colour_only: bool) -> npt.NDArray[Any]:
    import cv2  # noqa: PLC0415 - the edge runner decodes without it

    flags = cv2.IMREAD_COLOR if colour_only else cv2.IMREAD_UNCHANGED
    try:
        # The stubs promise an array; undecodable data gives None.
        pixels = cast("npt.NDArray[Any] | None", cv2.imdecode(np.frombuffer(data, np.uint8), flags))
    except cv2.error as error:
        raise UnreadableInput(where, f"OpenCV cannot decode this {image_format.name} ({error.err})") from error
    if pixels is None:
        raise UnreadableInput(
            where,
            f"OpenCV {cv2.__version__} cannot decode this {image_format.name}; it is damaged, or of a kind that "
            "only a newer OpenCV reads (animations need 4.11)",
        )
    return pixels


def _by_pillow(data: bytes, where: str) -> Pixels | None:
    """Decode an image if it is partly transparent, and put it on its ground."""
    from PIL import Image, ImageOps  # noqa: PLC0415 - plain image reading does without Pillow

    try:
        with Image.open(io.BytesIO(data)) as image:
            pixels, alpha = _pixels_and_alpha(ImageOps.exif_transpose(image), None)
    except (*PILLOW_FAULTS, Image.DecompressionBombError) as error:  # Pillow's limit is not max_pixels
        _log.warning("%s: its transparency is ignored, because Pillow cannot read it (%s)", where, error)
        return None
    return on_contrasting_ground(pixels, alpha, where) if _is_partial(alpha) else None


def _not_an_image(data: bytes) -> str:
    if not data:
        return "is empty (0 bytes)"
    if data[4:8] == b"ftyp":
        return "HEIC and other containers of this kind cannot be read; convert the image to PNG or JPEG"
    return f"is not an image, a TIFF or a PDF; its content begins with {data[:16]!r}"


def pixels_from_array(array: npt.NDArray[Any], where: str) -> Pixels:
    """Take an array as an image; BGR uint8 is passed on as it is, without a copy.

    Args:
        array: (H, W), (H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA, not premultiplied; uint8 or uint16.
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
    if pixels.shape[2] == 3:  # noqa: PLR2004 - BGR
        return pixels
    return on_contrasting_ground(np.ascontiguousarray(pixels[..., :3]), pixels[..., 3], where)


def _spread_grey(grey: npt.NDArray[np.uint8]) -> Pixels:
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


def on_contrasting_ground(
    bgr: Pixels, alpha: npt.NDArray[np.uint8] | None, where: str, page_index: int | None = None
) -> Pixels:
    """Put a partly transparent image on white; on black, if what can be seen of it is brighter than half.

    Args:
        bgr: (H, W, 3), uint8, not premultiplied; stays as it is.
        alpha: (H, W), uint8, 255 is opaque; None if all pixels are.
        where: Names the input in the log: a warning for the first ground of a process, then at level DEBUG.
        page_index: For the log, where the image is a page.

    Returns:
        (H, W, 3), uint8: ``bgr`` itself if all its pixels are opaque, or all are transparent.
    """
    if not _is_partial(alpha):
        return bgr
    opacity = alpha[..., np.newaxis].astype(np.uint16)
    blend: npt.NDArray[np.uint16] = bgr * opacity
    blue, green, red = (int(blend[..., channel].sum(dtype=np.int64)) for channel in range(3))
    luminance = (114 * blue + 587 * green + 299 * red) / (1000 * int(alpha.sum(dtype=np.int64)))
    ground = 0 if luminance > _OPAQUE / 2 else 255
    _tell_ground("white" if ground else "black", where, page_index)
    blend += (_OPAQUE - opacity) * ground + _OPAQUE // 2  # below 2 ** 16; the last rounds to the nearest
    blend //= _OPAQUE
    return blend.astype(np.uint8)


def _is_partial(alpha: npt.NDArray[np.uint8] | None) -> TypeGuard[npt.NDArray[np.uint8]]:
    return alpha is not None and bool(alpha.min() < _OPAQUE) and bool(alpha.any())


def _tell_ground(ground: str, where: str, page_index: int | None) -> None:
    page = "" if page_index is None else f", page {page_index}"
    is_first = next(_grounds) == 0
    level, note = (
        (logging.WARNING, " (of further inputs, this is said at level DEBUG)") if is_first else (logging.DEBUG, "")
    )
    _log.log(level, "%s%s: a %s ground was put under its transparent pixels%s", where, page, ground, note)


def _alpha_beside(colour: tuple[int, int, int], bgr: Pixels) -> npt.NDArray[np.uint8]:
    """Return the alpha, (H, W), uint8, of an image in which one colour is transparent."""
    blue, green, red = (bgr[..., channel] == value for channel, value in enumerate(colour))
    alpha = np.full(bgr.shape[:2], _OPAQUE, np.uint8)
    alpha[blue & green & red] = 0
    return alpha


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
    hint = cures.get(dtype.kind, "pass a list if these are several images or paths")
    return f"expected dtype uint8 (or uint16), got {dtype}; {hint}"


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


def pixels_from_pil(
    image: Image.Image,
    where: str,
    max_pixels: int,
    page_index: int | None = None,
    transparent: tuple[int, int, int] | None = None,
) -> Pixels:
    """Take the current frame of a PIL image, which is left as it is.

    Args:
        image: Of any mode that Pillow can turn into RGB, or of 16 bits; not float, not 32-bit integers.
        where: Names the input in errors.
        max_pixels: Larger images are refused before they are loaded.
        page_index: For errors, where the image is a page.
        transparent: See `transparent_colour`, where the encoded image is at hand.

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
        pixels, alpha = _pixels_and_alpha(ImageOps.exif_transpose(image), transparent)
    except PILLOW_FAULTS as error:
        raise UnreadableInput(where, f"Pillow cannot read it ({str(error).rstrip('.')})", page_index) from error
    return on_contrasting_ground(pixels, alpha, where, page_index)


def _pixels_and_alpha(
    image: Image.Image, transparent: tuple[int, int, int] | None
) -> tuple[Pixels, npt.NDArray[np.uint8] | None]:
    """Return (H, W, 3) BGR, not premultiplied, and (H, W) alpha, or None if no pixel can be transparent; uint8."""
    if image.mode == "I" or image.mode in _PIL_16_BIT:
        pixels = _spread_grey((np.asarray(image) >> 8).astype(np.uint8))
    else:
        if image.mode == "P" and image.has_transparency_data:
            image = image.convert("RGBA")  # straight to RGB, Pillow warns of lost transparency
        elif image.mode in _PREMULTIPLIED:
            image = image.convert(_PREMULTIPLIED[image.mode])
        # Pillow itself turns the channels around: numpy takes several times as long, and OpenCV need not be there.
        data = bytearray(image.convert("RGB").tobytes("raw", "BGR"))
        pixels = np.frombuffer(data, np.uint8).reshape(image.height, image.width, 3)
    if image.mode in _WITH_ALPHA:
        return pixels, np.asarray(image.getchannel("A"))
    transparent = transparent or _transparent_in_pil(image)
    return pixels, None if transparent is None else _alpha_beside(transparent, pixels)


def _transparent_in_pil(image: Image.Image) -> tuple[int, int, int] | None:
    """Return the colour that a grey or RGB image declares transparent, as BGR of 8 bits."""
    found = image.info.get("transparency")
    rgb = (found, found, found) if isinstance(found, int) else found
    if image.mode not in _WITH_TRANSPARENT_COLOUR or not isinstance(rgb, tuple) or len(rgb) != 3:  # noqa: PLR2004 - RGB
        return None
    if image.mode == "1":
        return (255, 255, 255) if rgb[0] else (0, 0, 0)
    # An RGB image has 8 bits, but its file may have had 16.
    shift = 8 if image.mode not in {"L", "RGB"} or max(rgb) > 255 else 0  # noqa: PLR2004 - more than 8 bits
    red, green, blue = (int(value) >> shift for value in rgb)
    return blue, green, red


def _deep_mode_problem(mode: str) -> str:
    kind = "float" if mode == "F" else "32-bit integer"
    return (
        f"its pixels are {kind} (mode {mode!r}), of unknown range; scale them to 0..255 and convert "
        "them to 8 bits: Image.fromarray(np.asarray(img).clip(0, 255).astype(np.uint8))"
    )
