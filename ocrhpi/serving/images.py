"""The files of a request, base64 or URLs -> lines, within limits; bad ones are refused with the reason.

Blocking: runs in threads.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ocrhpi.errors import RequestRefused
from ocrhpi.recognition.headers import HEAD_BYTES, is_pdf, is_tiff, sniff
from ocrhpi.recognition.inputs import Limits, read_lines
from ocrhpi.recognition.remote import is_url
from ocrhpi.serving.schema import DocumentInfo, ImageInfo, PageInfo
from ocrhpi.serving.urls import fetch
from ocrhpi.values import UnreadableLine

if TYPE_CHECKING:
    from ocrhpi.serving.options import ServingOptions
    from ocrhpi.serving.schema import DataInfo, InferRequest
    from ocrhpi.values import LineImage

_PDF, _IMAGE = 0, 1  # fileType of PaddleX
_UNREADABLE = 422


@dataclass(frozen=True)
class RequestFile:
    """One file of a request.

    Attributes:
        lines: Its pages; of an image, the only one.
        info: Their sizes.
    """

    lines: list[LineImage]
    info: DataInfo


def read_files(request: InferRequest, options: ServingOptions) -> list[RequestFile]:
    """Decode all files of a request, in order.

    Raises:
        RequestRefused: A file cannot be read, or a limit is exceeded; names the file by its place in the request.
    """
    left = _Left(options)
    files = []
    for number, text in enumerate(request.all_files):
        where = "file" if request.file is not None else f"files[{number}]"
        data = _content(text, where, options)
        kind = _kind(data)
        if request.file_type is not None and request.file_type != (_PDF if kind == "pdf" else _IMAGE):
            raise RequestRefused(
                _UNREADABLE,
                f"{where}: fileType is {request.file_type}, but the content is {_named(kind)}; leave fileType out",
            )
        lines = _lines(data, where, left)
        files.append(RequestFile(lines, _info(kind, lines)))
    return files


class _Left:
    """What a request may still take."""

    def __init__(self, options: ServingOptions) -> None:
        self.max_pixels = options.max_pixels
        self._max_images = options.max_images
        self._images = 0
        self._pixels = 0

    def take(self, width: int, height: int, where: str) -> None:
        self._images += 1
        self._pixels += width * height
        if self._images > self._max_images:
            problem = f"one request may hold {self._max_images} images and pages; send the rest in another one"
            raise RequestRefused(_UNREADABLE, f"{where}: {problem}")
        if self._pixels > self.max_pixels:
            problem = (
                f"with this image of {width} x {height} the request holds {self._pixels} pixels, and one may hold "
                f"{self.max_pixels}; send single lines, or fewer of them"
            )
            raise RequestRefused(_UNREADABLE, f"{where}: {problem}")


def _content(text: str, where: str, options: ServingOptions) -> bytes:
    if is_url(text):
        return fetch(text, where, options)
    if text[:5] == "data:":
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        problem = f"{where}: received {text[:20]!r}, no base64 ({error}); expected an encoded image file in base64"
        raise RequestRefused(_UNREADABLE, problem) from None


def _kind(data: bytes) -> Literal["image", "tiff", "pdf"]:
    head = data[:HEAD_BYTES]
    if is_tiff(head):
        return "tiff"
    return "pdf" if sniff(head) is None and is_pdf(head) else "image"


def _named(kind: str) -> str:
    return "an image" if kind == "image" else f"a {kind.upper()}"


def _lines(data: bytes, where: str, left: _Left) -> list[LineImage]:
    """Decode one file; an image is counted before that, by what its header says, and pages as they come."""
    image_format = sniff(data[:HEAD_BYTES])
    declared = image_format and image_format.read_size(data)
    if declared:
        left.take(*declared, where)
    lines = []
    for line in read_lines(data, Limits(max_pixels=left.max_pixels)):
        if isinstance(line, UnreadableLine):
            raise RequestRefused(_UNREADABLE, f"{_page(where, line.page_index)}: {_reason(line)}")
        if not declared:
            height, width = line.pixels.shape[:2]
            left.take(width, height, _page(where, line.page_index))
        lines.append(line)
    return lines


def _page(where: str, page_index: int | None) -> str:
    return where if page_index is None else f"{where}, page {page_index}"


def _reason(line: UnreadableLine) -> str:
    return getattr(line.error, "reason", str(line.error))


def _info(kind: Literal["image", "tiff", "pdf"], lines: list[LineImage]) -> DataInfo:
    sizes = [(line.pixels.shape[1], line.pixels.shape[0]) for line in lines]
    if kind == "image" or (kind == "tiff" and len(sizes) == 1):  # as PaddleX has it
        width, height = sizes[0]
        return ImageInfo(width=width, height=height)
    pages = [PageInfo(width=width, height=height) for width, height in sizes]
    return DocumentInfo(num_pages=len(pages), pages=pages, type="tiff" if kind == "tiff" else "pdf")
