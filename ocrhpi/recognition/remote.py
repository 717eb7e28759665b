"""Walk A, step 1: URL -> bytes, in memory, within limits of size and time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrhpi.errors import UnreadableInput

if TYPE_CHECKING:
    import requests

__all__ = ["download", "is_url"]

_CHUNK_BYTES = 1 << 16


def is_url(text: str) -> bool:
    """Tell whether ``text`` is a URL that `download` takes."""
    return text[:8].lower().startswith(("http://", "https://"))


def download(url: str, *, max_bytes: int, connect_timeout_s: float, read_timeout_s: float) -> bytes:
    """Fetch the body that a URL gives; redirects and proxy settings of the environment are followed.

    Args:
        url: With http or https.
        max_bytes: A longer body is refused, unread if the server announces its length.
        connect_timeout_s: Longest wait for the connection.
        read_timeout_s: Longest silence of the server.

    Raises:
        UnreadableInput: No answer, an answer other than success, or one that is too long.
    """
    import requests  # noqa: PLC0415 - slow to import, and only URLs need it

    try:
        with (
            requests.Session() as session,
            session.get(url, stream=True, timeout=(connect_timeout_s, read_timeout_s)) as response,
        ):
            if not response.ok:
                raise UnreadableInput(url, f"the server answered {response.status_code} {response.reason}")
            return _body(response, url, max_bytes)
    except requests.ConnectTimeout as error:
        reason = f"no connection within {connect_timeout_s:g} s (option url_connect_timeout_s)"
        raise UnreadableInput(url, reason) from error
    except requests.ReadTimeout as error:
        reason = f"the server was silent for {read_timeout_s:g} s (option url_read_timeout_s)"
        raise UnreadableInput(url, reason) from error
    except requests.RequestException as error:
        raise UnreadableInput(url, f"cannot be downloaded ({str(error).rstrip('.')})") from error


def _body(response: requests.Response, url: str, max_bytes: int) -> bytes:
    announced = response.headers.get("Content-Length", "")
    too_long = announced.isdecimal() and int(announced) > max_bytes
    body = bytearray()
    chunks = iter(()) if too_long else response.iter_content(_CHUNK_BYTES)
    for chunk in chunks:
        body += chunk
        if len(body) > max_bytes:
            too_long = True
            break
    if too_long:
        raise UnreadableInput(
            url, f"the file is longer than the limit of {max_bytes} bytes; raise the option url_max_bytes"
        )
    return bytes(body)
