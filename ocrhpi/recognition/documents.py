"""Recognition, step 1: pages of a PDF or TIFF -> pixels, one page at a time.

Both generators give one item a page, in order: its pixels, or the error that took its place. What concerns
the whole document is raised.
"""

from __future__ import annotations

import math
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ocrhpi.errors import UnreadableInput
from ocrhpi.forks import RenewedLock
from ocrhpi.recognition.decoding import PILLOW_FAULTS, pixels_from_pil

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pypdfium2 import PdfDocument

    from ocrhpi.values import Pixels

_MIN_PDF_SCALE = 0.5
_ENDS_BYTES = 1 << 20  # a PDF says near its beginning or its end whether it is encrypted

# PDFium is not thread-safe at all. Held for single calls, never while a page is with the consumer;
# re-entrant, because the garbage collector may close an abandoned document in the midst of another call.
_PDFIUM = RenewedLock(threading.RLock, holds_forks=True)


def tiff_pages(stream: BinaryIO, where: str, max_pixels: int) -> Iterator[Pixels | UnreadableInput]:
    """Read the frames of a TIFF.

    Args:
        stream: The file, at its beginning; stays open.
        where: Names the input in errors.
        max_pixels: Larger frames are refused before they are decoded.

    Raises:
        UnreadableInput: The first directory of the file cannot be read.
    """
    from PIL import TiffImagePlugin  # noqa: PLC0415 - plain image reading does without Pillow

    try:
        # Not Image.open: that tries the size against a process-wide setting and warns.
        frames = TiffImagePlugin.TiffImageFile(stream)
    except PILLOW_FAULTS as error:
        raise UnreadableInput(where, f"the TIFF is damaged ({_phrase(error)})") from error
    with frames:
        page_index = 0
        while True:
            try:
                frames.seek(page_index)
            except EOFError:
                return
            except PILLOW_FAULTS as error:  # the way to the frames behind it is lost as well
                yield UnreadableInput(where, f"the TIFF is damaged from here on ({_phrase(error)})", page_index)
                return
            try:
                page: Pixels | UnreadableInput = pixels_from_pil(frames, where, max_pixels, page_index)
            except UnreadableInput as error:
                page = error
            yield page
            page_index += 1


def pdf_pages(stream: BinaryIO, where: str, scale: float, max_pixels: int) -> Iterator[Pixels | UnreadableInput]:
    """Render the pages of a PDF, with its form fields.

    Args:
        stream: The file, at its beginning; stays open.
        where: Names the input in errors.
        scale: Pixels per point (1/72 inch); less for a page that would exceed ``max_pixels``.
        max_pixels: A page that exceeds it at a scale of 0.5 is refused.

    Raises:
        UnreadableInput: Damaged, encrypted, or without pages.
    """
    with _opened_pdf(stream, where) as document:
        with _PDFIUM:
            page_count = len(document)
        for page_index in range(page_count):
            try:
                page: Pixels | UnreadableInput = _render(document, page_index, where, scale, max_pixels)
            except UnreadableInput as error:
                page = error
            yield page


@contextmanager
def _opened_pdf(stream: BinaryIO, where: str) -> Iterator[PdfDocument]:
    import pypdfium2  # noqa: PLC0415 - a large library that only PDFs need

    try:
        with _PDFIUM:
            document = pypdfium2.PdfDocument(stream)
    except pypdfium2.PdfiumError as error:
        raise UnreadableInput(where, _pdf_problem(str(error), stream)) from error
    try:
        with _PDFIUM:
            document.init_forms()  # before the first page, else fields stay empty
        yield document
    finally:
        with _PDFIUM:
            document.close()


def _pdf_problem(message: str, stream: BinaryIO) -> str:
    # For a PDF without pages, which is no error to PDFium, pypdfium2 tells the error of another PDF that failed
    # before it. So the message is believed only where the file agrees.
    end = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    ends = stream.read(_ENDS_BYTES)
    stream.seek(max(0, end - _ENDS_BYTES))
    ends += stream.read()
    if b"/Encrypt" in ends and "password" in message.lower():
        return "the PDF is encrypted and needs a password; save a copy without one"
    return "the PDF is damaged or has no pages"


def _render(document: PdfDocument, page_index: int, where: str, scale: float, max_pixels: int) -> Pixels:
    import pypdfium2  # noqa: PLC0415 - see _opened_pdf

    try:
        with _PDFIUM:
            page = document[page_index]
            try:
                size = page.get_size()
                if min(size) <= 0:
                    raise UnreadableInput(where, "the page has no area", page_index)
                fitting = _fitting_scale(size, scale, max_pixels)
                if fitting is None:
                    raise UnreadableInput(where, _too_large(size, max_pixels), page_index)
                # This maker draws into memory of Python's, which the array keeps alive: no copy.
                bitmap = page.render(scale=fitting, bitmap_maker=pypdfium2.PdfBitmap.new_native)
                try:
                    return np.ascontiguousarray(bitmap.to_numpy(), dtype=np.uint8)
                finally:
                    bitmap.close()
            finally:
                page.close()
    except pypdfium2.PdfiumError as error:
        raise UnreadableInput(where, f"the page is damaged ({_phrase(error)})", page_index) from error


def _fitting_scale(size: tuple[float, float], scale: float, max_pixels: int) -> float | None:
    """Return the largest scale up to ``scale`` at which the page fits, or None if that is too coarse."""
    width, height = size
    if math.ceil(width * scale) * math.ceil(height * scale) <= max_pixels:
        return scale
    # Solves (width * s + 1) * (height * s + 1) = max_pixels, a bound on the product of the rounded-up sides.
    area, half_sum = width * height, (width + height) / 2
    fitting = (math.sqrt(half_sum**2 + area * (max_pixels - 1)) - half_sum) / area
    return fitting if fitting >= min(_MIN_PDF_SCALE, scale) else None


def _too_large(size: tuple[float, float], max_pixels: int) -> str:
    return (
        f"a page of {size[0]:.0f} x {size[1]:.0f} points has more than {max_pixels} pixels even at "
        f"scale {_MIN_PDF_SCALE}; raise the option max_pixels if it is meant to be that large"
    )


def _phrase(message: object) -> str:
    return str(message).strip().rstrip(".")
