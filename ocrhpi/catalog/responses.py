"""Read HTTP answers and failures: what may be tried again, what sends us to the next source.

And the unfinished download of one file: ``<file>.part``, with a note on what it is a part of.
"""

from __future__ import annotations

import json
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import MaxRetryError

from ocrhpi.data_files import read_bounded, read_json
from ocrhpi.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PART_SUFFIX = ".part"


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Where a download may go on.

    Attributes:
        offset: Bytes that are already there; at least 1.
        etag: The strong ETag of the file they are from.
    """

    offset: int
    etag: str


@dataclass(frozen=True, slots=True)
class PartialFile:
    """The part that has arrived so far.

    Attributes:
        path: The file that the bytes are written to.
        note: Says which URL and which version of its file the bytes are from.
    """

    path: Path
    note: Path

    @classmethod
    def beside(cls, target: Path) -> PartialFile:
        """Return the partial file of ``target``; it lies in the same directory."""
        name = target.name + PART_SUFFIX
        return cls(target.with_name(name), target.with_name(name + ".json"))

    def size_bytes(self) -> int:
        """Return how many bytes have arrived."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def resume_point(self, url: str) -> ResumePoint | None:
        """Return where the download of ``url`` may go on; None if it must begin anew."""
        offset = self.size_bytes()
        if not offset:
            return None
        try:
            note = read_json(read_bounded(self.note))
        except (OSError, ValueError):
            return None
        if not isinstance(note, dict) or note.get("url") != url or not isinstance(note.get("etag"), str):
            return None
        return ResumePoint(offset, note["etag"])

    def begin(self, url: str, etag: str | None) -> None:
        """Forget what has arrived and note that the next bytes are from the version ``etag`` of ``url``.

        Without an ETag, or with a weak one, there is no way to know later that the file is still the same:
        then nothing is noted, and the part cannot be resumed.
        """
        self.discard()
        if etag and not etag.startswith("W/"):
            self.note.write_text(json.dumps({"url": url, "etag": etag}), encoding="utf-8")

    def discard(self) -> None:
        """Forget what has arrived."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def install(self, target: Path) -> None:
        """Make the part, now whole, the file ``target``."""
        self.path.replace(target)
        self.note.unlink(missing_ok=True)


_RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
_ABSENT = frozenset({404, 410})
_OK, _PARTIAL_CONTENT, _RANGE_NOT_SATISFIABLE = 200, 206, 416
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class SourceFailed(ModelError, OSError):
    """One source cannot give a model or a file; the next source is asked. Never leaves this room.

    Args:
        reason: What happened, as a phrase without a full stop.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class FileAbsent(SourceFailed):
    """The source answers, and has no such file."""


class Interrupted(Exception):
    """One attempt failed in a way that another attempt may not.

    Args:
        reason: What happened, as a phrase.
        wait_s: Seconds that the server asks to wait, 0 if it does not say.
    """

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s


class RangeRefused(Interrupted):
    """The server cannot go on where the partial file ends, which is hence worthless."""


@dataclass(frozen=True, slots=True)
class Body:
    """What the body of an answer holds.

    Attributes:
        offset: Bytes of the file that go before it.
        total_bytes: Size of the whole file; None if the server does not say.
        etag: Version of the file; None if the server does not say.
    """

    offset: int
    total_bytes: int | None
    etag: str | None


def read_response(response: requests.Response, resume: ResumePoint | None) -> Body:
    """Return what the body of ``response`` holds, before it is read.

    Args:
        response: The answer to a request for the whole file, or for its rest.
        resume: Where the request asked to go on; None if it asked for the whole file.

    Raises:
        FileAbsent: There is no such file.
        SourceFailed: The answer is no file.
        Interrupted: The server is busy.
        RangeRefused: The answer does not fit the partial file.
    """
    _check_status(response)
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise SourceFailed("a web page came instead of the file (a login page?)")
    etag = response.headers.get("ETag")
    if response.status_code == _OK:
        # A compressed body says nothing about the size of the file, nor can it be resumed.
        compressed = response.headers.get("Content-Encoding", "identity") != "identity"
        length = response.headers.get("Content-Length", "")
        return Body(0, None if compressed or not length.isdecimal() else int(length), None if compressed else etag)
    span = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    if resume is None or span is None or int(span[1]) != resume.offset or etag not in {None, resume.etag}:
        raise RangeRefused("the server sent another part of the file than was asked for")
    return Body(resume.offset, None if span[2] == "*" else int(span[2]), resume.etag)


def _check_status(response: requests.Response) -> None:
    status = response.status_code
    phrase = f"HTTP {status} {response.reason or ''}".rstrip()
    if status in {_OK, _PARTIAL_CONTENT}:
        if urlsplit(response.history[0].url if response.history else response.url).scheme == "https" and (
            urlsplit(response.url).scheme != "https"
        ):
            raise SourceFailed("redirected from https to a connection that is not encrypted")
        return
    if status in _ABSENT:
        raise FileAbsent(phrase)
    if status == _RANGE_NOT_SATISFIABLE:
        raise RangeRefused(phrase)
    if status in _RETRYABLE:
        wait = response.headers.get("Retry-After", "")
        raise Interrupted(phrase, float(wait) if wait.isdecimal() else 0.0)
    raise SourceFailed(phrase)


def announced_sha256(response: requests.Response, header: str) -> str | None:
    """Return the SHA-256 that ``header`` announces, here or on a redirect; None if it is no SHA-256.

    Hugging Face puts the hash of a large file into the redirect to its storage; a small file has a Git hash
    there.
    """
    for answer in (*response.history, response):
        value = answer.headers.get(header, "").strip('"').lower()
        if _SHA256.fullmatch(value):
            return value
    return None


def connection_failure(error: requests.RequestException, url: str) -> SourceFailed | Interrupted:
    """Say what ``error``, raised before any answer to ``url`` came, means."""
    host = urlsplit(url).netloc
    unconnected = isinstance(
        error, requests.exceptions.SSLError | requests.exceptions.ProxyError | requests.ConnectTimeout
    )
    if unconnected or (error.args and isinstance(error.args[0], MaxRetryError)):
        return SourceFailed(f"no connection to {host} ({_cause(error)})")
    if isinstance(error, requests.ConnectionError):
        return Interrupted(f"{host} broke the connection")
    if isinstance(error, requests.Timeout):
        return SourceFailed(f"{host} does not answer")
    return SourceFailed(f"{url}: {error}")


def _cause(error: requests.RequestException) -> str:
    if isinstance(error, requests.ConnectTimeout):
        return "timed out"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy failed"
    for cause in _chain(error):
        if isinstance(cause, socket.gaierror):
            return "its name cannot be resolved"
        if isinstance(cause, ConnectionRefusedError):
            return "refused"
    root = list(_chain(error))[-1]
    return str(root) or type(root).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__
