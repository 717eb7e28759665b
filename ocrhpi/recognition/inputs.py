"""Recognition, step 1: whatever the user passes -> line images, lazily and in order.

One image is held at a time. An input that cannot be read gives an `UnreadableLine` in its place, and reading
goes on; whether that ends the call is for the caller to decide. What an input is, is decided by its content,
never by its suffix; suffixes only choose the files of a directory.
"""

from __future__ import annotations

import io
import os
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, TimeoutError  # noqa: A004 - another one than Python's before 3.11
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

import numpy as np

from ocrhpi.errors import OptionError, UnreadableInput, UnsupportedInput
from ocrhpi.recognition.decoding import decode_image, is_pil_image, pixels_from_array, pixels_from_pil
from ocrhpi.recognition.documents import pdf_pages, tiff_pages
from ocrhpi.recognition.headers import HEAD_BYTES, is_pdf, is_tiff, sniff
from ocrhpi.values import LineImage, UnreadableLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    import numpy.typing as npt
    import PIL.Image
    import requests

    from ocrhpi.values import Pixels

_CHUNK_BYTES = 1 << 16


def is_url(text: str) -> bool:
    """Tell whether ``text`` is a URL that `download` takes."""
    return text[:8].lower().startswith(("http://", "https://"))


def download(
    url: str, *, max_bytes: int, connect_timeout_s: float, read_timeout_s: float, total_timeout_s: float
) -> bytes:
    """Fetch the body that a URL gives; redirects and proxy settings of the environment are followed.

    Args:
        url: With http or https.
        max_bytes: A longer body is refused, unread if the server announces its length.
        connect_timeout_s: Longest wait for the connection.
        read_timeout_s: Longest silence of the server.
        total_timeout_s: Longest time for all of it, however the server spends it.

    Raises:
        UnreadableInput: No answer, an answer other than success, or one that is too long or takes too long.
    """
    fetched: Future[bytes] = Future()
    deadline = time.monotonic() + total_timeout_s

    def work() -> None:
        try:
            fetched.set_result(_fetch(url, max_bytes, connect_timeout_s, read_timeout_s, deadline))
        except BaseException as error:  # noqa: BLE001 - the caller gets it
            fetched.set_exception(error)

    # A server may keep within both time-outs for ever, with redirects, or byte by byte. Nothing ends a thread that
    # reads headers so; it is left behind.
    threading.Thread(target=work, name="ocrhpi-download", daemon=True).start()
    try:
        return fetched.result(total_timeout_s)
    except (TimeoutError, _TooSlow):
        reason = f"not downloaded within {total_timeout_s:g} s (option url_total_timeout_s)"
        raise UnreadableInput(url, reason) from None


class _TooSlow(Exception):
    """The time for all of it is over."""


def _fetch(url: str, max_bytes: int, connect_timeout_s: float, read_timeout_s: float, deadline: float) -> bytes:
    import requests  # noqa: PLC0415 - slow to import, and only URLs need it
    import urllib3  # noqa: PLC0415 - likewise

    try:
        with (
            requests.Session() as session,
            session.get(url, stream=True, timeout=(connect_timeout_s, read_timeout_s)) as response,
        ):
            if not response.ok:
                raise UnreadableInput(url, f"the server answered {response.status_code} {response.reason}")
            return _body(response, url, max_bytes, deadline)
    except requests.ConnectTimeout as error:
        reason = f"no connection within {connect_timeout_s:g} s (option url_connect_timeout_s)"
        raise UnreadableInput(url, reason) from error
    except (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError) as error:
        reason = f"the server was silent for {read_timeout_s:g} s (option url_read_timeout_s)"
        raise UnreadableInput(url, reason) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise UnreadableInput(url, f"cannot be downloaded ({str(error).rstrip('.')})") from error


def _body(response: requests.Response, url: str, max_bytes: int, deadline: float) -> bytes:
    announced = response.headers.get("Content-Length", "")
    too_long = announced.isdecimal() and int(announced) > max_bytes
    body = bytearray()
    # What is there, not whole chunks: the thread must not wait for the end of what nobody waits for.
    while not too_long and (chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True)):
        if time.monotonic() > deadline:
            raise _TooSlow
        body += chunk
        too_long = len(body) > max_bytes
    if too_long:
        raise UnreadableInput(
            url, f"the file is longer than the limit of {max_bytes} bytes; raise the option url_max_bytes"
        )
    return bytes(body)


Input: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | npt.NDArray[Any] | PIL.Image.Image"
    " | Sequence[Input] | Iterator[Input]"
)
"""A path, URL, directory, encoded file, BGR array, PIL image; or a list, tuple, iterator of these, nested."""

# fmt: off
SUFFIXES = (
    ".bmp", ".dib", ".jpeg", ".jpg", ".pbm", ".pdf", ".pgm", ".png", ".pnm", ".ppm", ".ras", ".sr", ".tif",
    ".tiff", ".webp",
)
# fmt: on
"""Which files of a directory are read; upper case counts as lower case."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one input may take; what exceeds it is refused, and the error names the option to raise.

    Attributes:
        max_pixels: Width times height of one image or page, checked before decoding. The default is the
            size beyond which Pillow refuses an image as a decompression bomb, 512 MiB of BGR.
        url_max_bytes: Length of a file behind a URL, which is held in memory.
        url_connect_timeout_s: Longest wait for a connection to a server.
        url_read_timeout_s: Longest silence of a server.
        url_total_timeout_s: Longest time for one URL, redirects included.
        pdf_scale: Pixels per point (1/72 inch) when a PDF is rendered; a page that would exceed
            ``max_pixels`` is rendered coarser, down to 0.5.
    """

    max_pixels: int = 178_956_970
    url_max_bytes: int = 256 << 20
    url_connect_timeout_s: float = 10.0
    url_read_timeout_s: float = 30.0
    url_total_timeout_s: float = 120.0
    pdf_scale: float = 2.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise OptionError(field.name, f"expected a number above 0, got {value!r}")


DEFAULT_LIMITS = Limits()


def read_lines(source: Input, limits: Limits = DEFAULT_LIMITS) -> Iterator[LineImage | UnreadableLine]:
    """Read every input as line images, in the order in which they are given.

    A file, URL, array or image gives one line image; a PDF or TIFF one for each page; a directory those of
    its files, at any depth, sorted by path, without hidden ones and without following links to folders.
    Iterators are consumed one item at a time, and what they raise passes through.

    Args:
        source: See `Input`.
        limits: See `Limits`.

    Yields:
        A line image, or in its place the reason why there is none.
    """
    for position, item in enumerate(_leaves(source)):
        yield from _read(item, position, limits)


def _leaves(source: object) -> Iterator[object]:
    # Open files are iterators too, but of lines of bytes.
    if isinstance(source, (list, tuple, Iterator)) and not isinstance(source, io.IOBase):
        for item in source:
            yield from _leaves(item)
    else:
        yield source


def _read(item: object, position: int, limits: Limits) -> Iterator[LineImage | UnreadableLine]:
    if isinstance(item, np.generic) and not isinstance(item, str):  # numpy.bytes_ has lost its trailing zeros
        yield UnreadableLine(UnsupportedInput(item))
    elif isinstance(item, (str, os.PathLike)):
        location = os.fsdecode(item)
        yield from _guarded(_read_location(location, limits), location)
    elif isinstance(item, (bytes, bytearray, memoryview)):
        yield from _guarded(_read_bytes(bytes(item), f"bytes number {position}", None, limits), None)
    elif isinstance(item, np.ndarray):
        yield from _guarded(_read_array(item, f"array number {position}"), None)
    elif is_pil_image(item):
        yield from _guarded(_read_pil(item, f"PIL image number {position}", limits), None)
    else:
        yield UnreadableLine(UnsupportedInput(item))


def _guarded(
    lines: Iterator[LineImage | UnreadableLine], input_path: str | None
) -> Iterator[LineImage | UnreadableLine]:
    try:
        yield from lines
    except UnreadableInput as error:
        yield UnreadableLine(_without_frames(error), input_path)


def _without_frames(error: UnreadableInput) -> UnreadableInput:
    """Drop the tracebacks: their frames would keep the bytes of the input alive as long as the error."""
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


def _read_array(array: npt.NDArray[Any], where: str) -> Iterator[LineImage]:
    yield LineImage(pixels_from_array(array, where))


def _read_pil(image: PIL.Image.Image, where: str, limits: Limits) -> Iterator[LineImage]:
    yield LineImage(pixels_from_pil(image, where, limits.max_pixels))


def _read_location(location: str, limits: Limits) -> Iterator[LineImage | UnreadableLine]:
    if is_url(location):
        yield from _read_url(location, limits)
        return
    mode = _file_mode(location)
    if stat.S_ISDIR(mode):
        yield from _read_directory(location, limits)
    elif stat.S_ISREG(mode):
        yield from _read_file(location, limits)
    else:  # opening a pipe would wait for a writer
        raise UnreadableInput(location, "is not a regular file")


def _file_mode(location: str) -> int:
    if not location:
        raise UnreadableInput("path ''", "is empty; expected a file, a directory or a URL")
    try:
        return Path(location).stat().st_mode
    except OSError as error:
        reason = _os_reason(error)
        if "://" in location:
            reason += "; only http:// and https:// URLs are read"
        raise UnreadableInput(location, reason) from error
    except ValueError as error:
        raise UnreadableInput(repr(location), f"cannot be a path ({error})") from error


def _read_url(url: str, limits: Limits) -> Iterator[LineImage | UnreadableLine]:
    data = download(
        url,
        max_bytes=limits.url_max_bytes,
        connect_timeout_s=limits.url_connect_timeout_s,
        read_timeout_s=limits.url_read_timeout_s,
        total_timeout_s=limits.url_total_timeout_s,
    )
    yield from _read_bytes(data, url, url, limits)


def _read_directory(directory: str, limits: Limits) -> Iterator[LineImage | UnreadableLine]:
    faults: list[OSError] = []
    paths = _files_below(directory, faults)
    if not paths and not faults:
        reason = f"no file in this directory, at any depth, ends in one of {' '.join(SUFFIXES)}"
        yield UnreadableLine(UnreadableInput(directory, reason), directory)
    unlisted = {str(fault.filename): fault for fault in faults}
    for path in sorted([*paths, *unlisted]):
        if path in unlisted:
            error = UnreadableInput(path, f"the directory cannot be listed: {_os_reason(unlisted[path])}")
            yield UnreadableLine(error, path)
        else:
            yield from _guarded(_read_location(path, limits), path)


def _files_below(directory: str, faults: list[OSError]) -> list[str]:
    paths = []
    for folder, subfolders, names in os.walk(directory, onerror=faults.append):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        paths += [
            os.path.join(folder, name)  # noqa: PTH118 - Path would drop the "./" that the caller gave
            for name in names
            if name.lower().endswith(SUFFIXES) and not name.startswith(".")
        ]
    return paths


def _read_file(path: str, limits: Limits) -> Iterator[LineImage | UnreadableLine]:
    try:
        with Path(path).open("rb") as stream:
            yield from _read_stream(stream, stream.peek(HEAD_BYTES), path, path, limits)
    except OSError as error:
        raise UnreadableInput(path, _os_reason(error)) from error


def _os_reason(error: OSError) -> str:
    reason = error.strerror or str(error)
    return reason[:1].lower() + reason[1:]


def _read_bytes(
    data: bytes, where: str, input_path: str | None, limits: Limits
) -> Iterator[LineImage | UnreadableLine]:
    return _read_stream(io.BytesIO(data), data, where, input_path, limits)


def _read_stream(
    stream: BinaryIO, head: bytes, where: str, input_path: str | None, limits: Limits
) -> Iterator[LineImage | UnreadableLine]:
    head = head[:HEAD_BYTES]
    if is_tiff(head):
        yield from _pages(tiff_pages(stream, where, limits.max_pixels), input_path)
    elif sniff(head) is None and is_pdf(head):
        yield from _pages(pdf_pages(stream, where, limits.pdf_scale, limits.max_pixels), input_path)
    else:
        # Unknown content is refused by its beginning; the rest, which may be huge, stays unread.
        data = stream.read() if sniff(head) else head
        yield LineImage(decode_image(data, where, limits.max_pixels), input_path)


def _pages(pages: Iterable[Pixels | UnreadableInput], input_path: str | None) -> Iterator[LineImage | UnreadableLine]:
    for page_index, page in enumerate(pages):
        if isinstance(page, UnreadableInput):
            yield UnreadableLine(_without_frames(page), input_path, page_index)
        else:
            yield LineImage(page, input_path, page_index)
