"""The files of a request, base64 or URLs -> lines, within limits; bad ones are refused with the reason.

Blocking: runs in threads.

Whoever may name a URL can make the server connect anywhere it can. So ``public`` looks the host up itself, refuses
addresses that are not public ones, and connects to the very address that it checked, anew for each redirect: a name
that changes its address between the check and the connection leads nowhere else. Proxies of the environment are not
used.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urljoin

from ocrhpi.errors import RequestRefused, UnreadableInput
from ocrhpi.recognition.headers import HEAD_BYTES, is_pdf, is_tiff, sniff
from ocrhpi.recognition.inputs import Limits, is_url, read_lines
from ocrhpi.serving.schema import DocumentInfo, ImageInfo, PageInfo
from ocrhpi.values import UnreadableLine

if TYPE_CHECKING:
    from collections.abc import Iterator

    import urllib3

    from ocrhpi.serving.options import ServingOptions
    from ocrhpi.serving.schema import DataInfo, InferRequest
    from ocrhpi.values import LineImage

_MAX_REDIRECTS = 5
_CHUNK_BYTES = 1 << 16
_SHOWN_CHARACTERS = 200
_SUCCESS = 200
_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def fetch(url: str, where: str, options: ServingOptions) -> bytes:
    """Return what is behind the URL.

    Args:
        url: With http or https.
        where: Names the file in errors.
        options: Say which hosts are allowed, how long it may take, and how many bytes it may give.

    Raises:
        RequestRefused: URLs are off, or this one is not allowed, too long, too slow or gives no success.
    """
    if options.urls == "off":
        raise RequestRefused(
            422, f"{where}: received a URL, and this server takes none; send the file itself, in base64"
        )
    try:
        return _fetch(url, options, time.monotonic() + options.url_timeout_s)
    except UnreadableInput as error:
        raise RequestRefused(422, f"{where}: {error}") from error


def is_public(address: str) -> bool:
    """Tell whether an IP address, and the IPv4 address that an IPv6 one may carry, belongs to the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])  # without the zone of a link-local address
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.is_global and not ip.is_multicast
    carried = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if ip in _NAT64:
        carried.append(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF))
    inner = [str(address) for address in carried if address is not None]
    if inner:
        return all(is_public(address) for address in inner)
    return ip.is_global and not ip.is_multicast


def _fetch(url: str, options: ServingOptions, deadline: float) -> bytes:
    import urllib3  # noqa: PLC0415 - slow to import, and only URLs need it

    shown = url[:_SHOWN_CHARACTERS]
    target = url
    try:
        for _ in range(_MAX_REDIRECTS + 1):
            with _opened(target, shown, deadline, any_host=options.urls == "any") as response:
                location = response.get_redirect_location()
                if not location:
                    return _body(response, shown, options.max_body_bytes, deadline)
                target = urljoin(target, location)
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        if isinstance(error, UnreadableInput):
            raise
        raise UnreadableInput(shown, f"cannot be downloaded ({type(error).__name__})") from error
    raise UnreadableInput(shown, f"redirects more than {_MAX_REDIRECTS} times")


@contextmanager
def _opened(target: str, shown: str, deadline: float, *, any_host: bool) -> Iterator[urllib3.BaseHTTPResponse]:
    """Ask for ``target``, without following redirects; its body is still to be read."""
    import urllib3  # noqa: PLC0415 - see _fetch

    parts = urllib3.util.parse_url(target)
    host = parts.host
    if not is_url(target) or host is None:
        raise UnreadableInput(shown, "leads to no http:// or https:// URL with a host")
    secure = parts.scheme == "https"
    port = parts.port or _PORTS["https" if secure else "http"]
    address = _address(host.strip("[]"), port, shown, any_host=any_host)
    with _secure_pool(address, port, host) if secure else urllib3.HTTPConnectionPool(address, port) as pool:
        response = pool.urlopen(
            "GET",
            parts.request_uri,
            headers={"Host": parts.netloc or host, "Accept-Encoding": "identity", "User-Agent": "ocrhpi"},
            redirect=False,
            retries=False,
            assert_same_host=False,
            timeout=urllib3.Timeout(total=max(0.1, deadline - time.monotonic())),
            preload_content=False,
            decode_content=False,
        )
        try:
            yield response
        finally:
            response.close()


def _secure_pool(address: str, port: int, host: str) -> urllib3.HTTPSConnectionPool:
    """Return a pool that connects to the address and expects the certificate of the host."""
    import urllib3  # noqa: PLC0415 - see _fetch
    from requests.utils import DEFAULT_CA_BUNDLE_PATH  # noqa: PLC0415 - what `recognition.remote` trusts

    return urllib3.HTTPSConnectionPool(
        address,
        port,
        ca_certs=DEFAULT_CA_BUNDLE_PATH,
        cert_reqs="CERT_REQUIRED",
        server_hostname=host,
        assert_hostname=host,
    )


def _address(host: str, port: int, shown: str, *, any_host: bool) -> str:
    """Look the host up; all its addresses must be allowed."""
    found = _looked_up(host, port)
    if not any_host and not all(is_public(address) for address in found):
        raise UnreadableInput(shown, f"{host} is not a host of the public internet; this server asks no others")
    return min(found, key=lambda address: (":" in address, address))  # not every machine has a way to IPv6


def _looked_up(host: str, port: int) -> set[str]:
    return {str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}


def _body(response: urllib3.BaseHTTPResponse, shown: str, max_bytes: int, deadline: float) -> bytes:
    if response.status != _SUCCESS:
        raise UnreadableInput(shown, f"the server answered {response.status} {response.reason}")
    body = bytearray()
    while chunk := response.read1(_CHUNK_BYTES):  # what is there: a server that drips must not hold the thread
        body += chunk
        if len(body) > max_bytes:
            raise UnreadableInput(shown, f"the file is longer than the limit of {max_bytes} bytes")
        if time.monotonic() > deadline:
            raise UnreadableInput(shown, "took too long to download")
    return bytes(body)


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
