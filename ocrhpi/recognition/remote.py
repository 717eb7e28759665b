"""Recognition, step 1: URL -> bytes, in memory, within limits of size and time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, TimeoutError  # noqa: A004 - another one than Python's before 3.11
from typing import TYPE_CHECKING

from ocrhpi.errors import UnreadableInput

if TYPE_CHECKING:
    import requests

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
