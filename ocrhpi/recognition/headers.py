"""Recognition, step 1: what the first bytes say about an encoded image, without decoding it.

Only the formats listed here are accepted: for each of them the size is known before a pixel is decoded, so
that a few bytes cannot ask for gigabytes. Written by hand because Pillow's `Image.open` costs more than
decoding a small line, and warns by a process-wide setting.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD_BYTES = 1024
"""How many bytes `sniff`, `is_pdf` and `is_tiff` want to see; a PDF may begin anywhere in them."""

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the rest of the row are tables
_JPEG_BARE_MARKERS = frozenset(range(0xD0, 0xD9)) | {0x01}  # markers without a length
_JPEG_SCAN = 0xDA
_BMP_CORE_HEADER = 12
_BMP_HEADERS = frozenset({_BMP_CORE_HEADER, 40, 52, 56, 64, 108, 124})
_BMP_UNCOMPRESSED = frozenset({0, 3})
_PNM = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,10})(?:\s|#[^\n]*\n)+(\d{1,10})\s")
_PNM_HEADER_BYTES = 65536
_JPEG2000_SIZE = b"\xff\x4f\xff\x51"
_AVIF_SIZE = re.compile(rb"ispe....(....)(....)", re.DOTALL)
_AVIF_ALPHA = b"auxiliary:alpha"
_PNG_GREY, _PNG_RGB = 0, 2
_PNG_DEPTHS = frozenset({1, 2, 4, 8, 16})
_PNG_DEEP = 16
_PNG_WITH_ALPHA = frozenset({4, 6})
_BMP_ALPHA_HEADERS = frozenset({56, 108, 124})  # those with a mask for alpha
_BMP_ALPHA_BITS = 32
_GIF_CONTROL = b"!\xf9\x04"
_WEBP_ALPHA_FLAG = 0x10
_EXIF_MARKS = (b"eXIf", b"EXIF", b"Exif", b"type exif")  # PNG, WebP, AVIF, and what ImageMagick writes into PNGs


def _never(_data: bytes) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """One encoding of single images.

    Attributes:
        name: As users know it.
        size: Gives (width, height) from the encoded bytes, or None where they do not say; may raise
            `struct.error` or `IndexError` on data that ends too early.
        is_whole: Tells whether the data reaches its own end.
        may_have_alpha: Tells whether pixels may be transparent; no for certain, yes by the header alone.
    """

    name: str
    size: Callable[[bytes], tuple[int, int] | None]
    is_whole: Callable[[bytes], bool]
    may_have_alpha: Callable[[bytes], bool] = _never

    def read_size(self, data: bytes) -> tuple[int, int] | None:
        """Return (width, height), both above 0, or None if the header is damaged."""
        try:
            size = self.size(data)
        except (struct.error, IndexError):
            return None
        return size if size is not None and min(size) > 0 else None


def sniff(head: bytes) -> ImageFormat | None:
    """Return the format of single images that begins with ``head``, or None."""
    for magic, image_format in _FORMATS:
        if head.startswith(magic):
            return image_format
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _WEBP
    if head[4:12] in {b"ftypavif", b"ftypavis"}:
        return _AVIF
    return None


def is_tiff(head: bytes) -> bool:
    """Tell whether ``head`` begins a TIFF or BigTIFF of either byte order."""
    return head.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"))


def is_pdf(head: bytes) -> bool:
    """Tell whether ``head`` begins a PDF; readers accept up to 1024 bytes of anything before it."""
    return b"%PDF-" in head[:HEAD_BYTES]


def may_be_turned(data: bytes) -> bool:
    """Tell whether an encoded image may ask to be turned; pixels may happen to look like it, too."""
    return any(mark in data for mark in _EXIF_MARKS)


def transparent_colour(data: bytes) -> tuple[int, int, int] | None:
    """Return the one colour that a PNG without alpha declares transparent, as BGR of 8 bits, or None.

    Decoders differ in it: OpenCV leaves it out for grey, Pillow mistakes it unless channels have 8 bits.
    """
    if not data.startswith(_PNG_MAGIC):
        return None
    depth, kind = data[24:26]
    channels = {_PNG_GREY: 1, _PNG_RGB: 3}.get(kind)
    body = _png_transparency(data)
    if channels is None or depth not in _PNG_DEPTHS or body is None or len(body) < 2 * channels:
        return None
    top = (1 << depth) - 1
    values = [value & top for value in struct.unpack_from(f">{channels}H", body)]
    values = [value >> 8 if depth == _PNG_DEEP else value * 255 // top for value in values]
    return values[-1], values[len(values) // 2], values[0]


def _png_transparency(data: bytes) -> bytes | None:
    """Return the body of the tRNS chunk, which comes before the pixels."""
    position = 8
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"tRNS":
            return data[position + 8 : position + 8 + length]
        if kind == b"IDAT":
            return None
        position += 12 + length
    return None


def _png_may_have_alpha(data: bytes) -> bool:
    return data[25] in _PNG_WITH_ALPHA or _png_transparency(data) is not None


def _png_size(data: bytes) -> tuple[int, int] | None:
    width, height = struct.unpack_from(">II", data, 16)
    return (width, height) if data[12:16] == b"IHDR" else None


def _png_is_whole(data: bytes) -> bool:
    # OpenCV refuses a cut-off PNG too, but without a reason and with lines on stderr. Same for WebP and BMP.
    if data.endswith(_PNG_END):
        return True
    position = 8
    while position + 12 <= len(data):  # something follows the image: step over its chunks
        length, kind = struct.unpack_from(">I4s", data, position)
        position += 12 + length
        if kind == b"IEND":
            return bool(position <= len(data))
    return False


def _jpeg_segments(data: bytes) -> tuple[tuple[int, int] | None, int]:
    """Return (width, height) of the frame and the position of the first scan."""
    size = None
    position = 2
    while True:
        if data[position] != 0xFF:  # noqa: PLR2004 - every marker begins with it
            return None, len(data)
        marker = data[position + 1]
        if marker == 0xFF:  # noqa: PLR2004 - fill byte
            position += 1
        elif marker in _JPEG_BARE_MARKERS:
            position += 2
        elif marker == _JPEG_SCAN:
            return size, position
        else:
            if marker in _JPEG_FRAMES:
                height, width = struct.unpack_from(">HH", data, position + 5)
                size = (width, height)
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    return _jpeg_segments(data)[0]


def _jpeg_is_whole(data: bytes) -> bool:
    # libjpeg greys out what is missing and only warns, and OpenCV before 4.11 passes that on as a good image (half a
    # line of text, silently); later ones refuse without a reason. Within the scans 0xFF is always escaped, so an end
    # marker after the first scan is real (the one of an EXIF thumbnail lies before it). Found from the end, this reads
    # two bytes of a sound file.
    return data.rfind(b"\xff\xd9", _jpeg_segments(data)[1]) >= 0


def _gif_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _gif_may_have_alpha(data: bytes) -> bool:
    control = data.find(_GIF_CONTROL)  # the first belongs to the first frame
    return control >= 0 and bool(int.from_bytes(data[control + 3 : control + 4], "little") & 1)


def _bmp_header(data: bytes) -> tuple[int, int, int, int, int] | None:
    """Return offset of the pixels, width, height, bits per pixel and compression."""
    offset, header = struct.unpack_from("<II", data, 10)
    if header not in _BMP_HEADERS:
        return None
    if header == _BMP_CORE_HEADER:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        return offset, width, height, bits, 0
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    return offset, width, abs(height), bits, compression  # a negative height means rows from the top


def _bmp_size(data: bytes) -> tuple[int, int] | None:
    header = _bmp_header(data)
    return header and header[1:3]


def _bmp_is_whole(data: bytes) -> bool:
    # The file size in the header is wrong in many sound files, so the pixels are counted instead.
    header = _bmp_header(data)
    if header is None:
        return False
    offset, width, height, bits, compression = header
    row_bytes = (width * bits + 31) // 32 * 4
    return compression not in _BMP_UNCOMPRESSED or offset + row_bytes * height <= len(data)


def _bmp_may_have_alpha(data: bytes) -> bool:
    return data[14] in _BMP_ALPHA_HEADERS and data[28] == _BMP_ALPHA_BITS and any(data[66:70])


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X" and len(data) >= 30:  # noqa: PLR2004 - end of the canvas size
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    return None


def _webp_is_whole(data: bytes) -> bool:
    return int.from_bytes(data[4:8], "little") + 8 <= len(data)


def _webp_may_have_alpha(data: bytes) -> bool:
    if data[12:16] == b"VP8X":
        return bool(data[20] & _WEBP_ALPHA_FLAG)
    return data[12:16] == b"VP8L" and bool(data[24] & _WEBP_ALPHA_FLAG)


def _pnm_size(data: bytes) -> tuple[int, int] | None:
    found = _PNM.match(data, 0, _PNM_HEADER_BYTES)
    return (int(found[1]), int(found[2])) if found else None


def _sun_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 4)
    return width, height


def _jpeg2000_size(data: bytes) -> tuple[int, int] | None:
    start = data.find(_JPEG2000_SIZE)  # at 0 in a bare code stream, after some boxes in a .jp2
    if start < 0:
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", data, start + 8)
    return right - left, bottom - top


def _jpeg2000_may_have_alpha(data: bytes) -> bool:
    components = data.find(_JPEG2000_SIZE) + 40
    return data[components : components + 2] in {b"\x00\x02", b"\x00\x04"}


def _avif_size(data: bytes) -> tuple[int, int] | None:
    # A file may hold tiles and thumbnails; the whole image is the largest.
    sizes = [struct.unpack(">II", b"".join(found.groups())) for found in _AVIF_SIZE.finditer(data[:65536])]
    return (max(width for width, _ in sizes), max(height for _, height in sizes)) if sizes else None


def _avif_may_have_alpha(data: bytes) -> bool:
    return _AVIF_ALPHA in data[:65536]


def _left_to_decoder(_data: bytes) -> bool:
    return True  # these decoders refuse cut-off data by themselves, in every OpenCV from 4.8 on


_WEBP = ImageFormat("WebP", _webp_size, _webp_is_whole, _webp_may_have_alpha)
_AVIF = ImageFormat("AVIF", _avif_size, _left_to_decoder, _avif_may_have_alpha)

_FORMATS: tuple[tuple[bytes | tuple[bytes, ...], ImageFormat], ...] = (
    (_PNG_MAGIC, ImageFormat("PNG", _png_size, _png_is_whole, _png_may_have_alpha)),
    (b"\xff\xd8\xff", ImageFormat("JPEG", _jpeg_size, _jpeg_is_whole)),
    (b"BM", ImageFormat("BMP", _bmp_size, _bmp_is_whole, _bmp_may_have_alpha)),
    ((b"GIF87a", b"GIF89a"), ImageFormat("GIF", _gif_size, _left_to_decoder, _gif_may_have_alpha)),
    (
        (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"),
        ImageFormat("PBM/PGM/PPM", _pnm_size, _left_to_decoder),
    ),
    (b"\x59\xa6\x6a\x95", ImageFormat("Sun raster", _sun_size, _left_to_decoder)),
    (
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n", _JPEG2000_SIZE),
        ImageFormat("JPEG 2000", _jpeg2000_size, _left_to_decoder, _jpeg2000_may_have_alpha),
    ),
)
