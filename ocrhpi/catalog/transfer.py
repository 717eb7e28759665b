"""Download one file over HTTP: resumed where it broke off, watched for speed and size, verified.

One call of `Downloader.download` makes several attempts. A broken connection, a body that ends too early and
a busy server are tried again, and go on where the partial file ends; everything else fails at once, so that
the next source gets its turn.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests
import urllib3
from tqdm import tqdm

from ocrhpi.catalog.responses import (
    Body,
    Interrupted,
    PartialFile,
    RangeRefused,
    SourceFailed,
    announced_sha256,
    connection_failure,
    read_response,
)
from ocrhpi.files import sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK_BYTES = 1 << 18
_SMALL_CHUNK_BYTES = 1 << 10


@dataclass(frozen=True, slots=True)
class DeliveredFile:
    """One file of a model, fetched.

    Attributes:
        path: Where it lies; its name is its name in the model directory.
        sha256: Hexadecimal SHA-256 of what lies there.
        size_bytes: Size of what lies there.
        origin: The URL, or the package and member, that it came from.
        sha256_known: Whether the hash was known beforehand and matched, or is only recorded.
    """

    path: Path
    sha256: str
    size_bytes: int
    origin: str
    sha256_known: bool

    @classmethod
    def of(cls, path: Path, origin: str, *, sha256_known: bool = False) -> DeliveredFile:
        """Describe the file at ``path``, which is read once for its hash."""
        return cls(path, sha256_of(path), path.stat().st_size, origin, sha256_known)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much a download may take.

    Attributes:
        connect_timeout_s: Seconds to connect; just above 3, after which a lost packet is sent again.
        silence_timeout_s: Seconds without a single byte.
        min_bytes_per_s: Mean speed that a host must hold in every window.
        window_s: Length of a window in seconds.
        max_bytes: Largest file that is taken.
        attempts: Attempts at one file in one call.
        backoff_s: Seconds before the second attempt; doubles for each further one.
        max_wait_s: Longest wait before an attempt, also when the server asks for more.
    """

    connect_timeout_s: float = 3.05
    silence_timeout_s: float = 20.0
    min_bytes_per_s: float = 8192.0
    window_s: float = 20.0
    max_bytes: int = 2 << 30
    attempts: int = 4
    backoff_s: float = 0.5
    max_wait_s: float = 10.0

    def wait_s(self, attempt: int, asked_s: float) -> float:
        """Return the seconds to wait after 0-based ``attempt``; the server asked for ``asked_s``."""
        return min(self.max_wait_s, max(asked_s, self.backoff_s * 2.0**attempt))


class Downloader:
    """Downloads files one after the other over one HTTP session; not thread-safe.

    Args:
        limits: How long and how much a download may take.
        progress: True shows a progress bar on stderr, False shows none, None shows one on a terminal only.
    """

    def __init__(self, limits: Limits | None = None, *, progress: bool | None = None) -> None:
        self.limits = limits or Limits()
        self._no_progress = None if progress is None else not progress
        self._session = requests.Session()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def download(self, url: str, target: Path, *, sha256_header: str | None = None) -> DeliveredFile:
        """Download ``url`` to the file ``target``, which is replaced only by a whole and verified file.

        Args:
            url: What to download.
            target: Where to; the partial file lies beside it and is kept on failure, for the next call.
            sha256_header: The HTTP header, if any, in which the host announces the SHA-256.

        Raises:
            FileAbsent: There is no such file.
            SourceFailed: The host does not answer, is too slow, or sends something that is wrong.
        """
        partial = PartialFile.beside(target)
        reason = "no attempt is allowed"
        for attempt in range(self.limits.attempts):
            outcome = self._attempt(url, target, partial, sha256_header)
            if isinstance(outcome, DeliveredFile):
                return outcome
            reason = outcome.reason
            if attempt + 1 < self.limits.attempts:
                time.sleep(self.limits.wait_s(attempt, outcome.wait_s))
        raise SourceFailed(f"{target.name}: {reason} (attempts made: {self.limits.attempts})")

    def _attempt(
        self, url: str, target: Path, partial: PartialFile, sha256_header: str | None
    ) -> DeliveredFile | Interrupted:
        try:
            return self._once(url, target, partial, sha256_header)
        except RangeRefused as refusal:
            partial.discard()
            return refusal
        except Interrupted as interruption:
            return interruption
        except SourceFailed as failure:
            raise type(failure)(f"{target.name}: {failure.reason}") from failure

    def _once(self, url: str, target: Path, partial: PartialFile, sha256_header: str | None) -> DeliveredFile:
        resume = partial.resume_point(url)
        headers = {"Accept-Encoding": "identity"}
        if resume:
            headers |= {"Range": f"bytes={resume.offset}-", "If-Range": resume.etag}
        with self._ask(url, headers) as response:
            body = read_response(response, resume)
            if (body.total_bytes or 0) > self.limits.max_bytes:
                raise SourceFailed(f"{body.total_bytes} bytes, more than the limit of {self.limits.max_bytes}")
            expected = announced_sha256(response, sha256_header) if sha256_header else None
            if not body.offset:
                partial.begin(url, body.etag)
            self._receive(response, partial, body)
        size = partial.size_bytes()
        if body.total_bytes is not None and size != body.total_bytes:
            raise Interrupted(f"the transfer broke off after {size} of {body.total_bytes} bytes")
        if not size:
            raise SourceFailed("an empty file")
        digest = sha256_of(partial.path)
        if expected and digest != expected:
            partial.discard()
            problem = f"SHA-256 is {digest}, expected {expected}"
            # Only a file that came in one piece proves that the host is wrong, and not an earlier part.
            raise Interrupted(problem) if body.offset else SourceFailed(problem)
        partial.install(target)
        return DeliveredFile(target, digest, size, url, sha256_known=expected is not None)

    def _ask(self, url: str, headers: dict[str, str]) -> requests.Response:
        timeout = (self.limits.connect_timeout_s, self.limits.silence_timeout_s)
        try:
            return self._session.get(url, headers=headers, stream=True, timeout=timeout)
        except requests.RequestException as error:
            raise connection_failure(error, url) from error

    def _receive(self, response: requests.Response, partial: PartialFile, body: Body) -> None:
        size = body.offset
        pace = _Pace(self.limits)
        bar = tqdm(
            desc=partial.path.stem,
            total=body.total_bytes,
            initial=body.offset,
            unit="B",
            unit_scale=True,
            disable=self._no_progress,
        )
        with partial.path.open("ab") as file, bar:
            for chunk in _chunks(response):
                size += len(chunk)
                if size > self.limits.max_bytes:
                    partial.discard()
                    raise SourceFailed(f"more bytes than the limit of {self.limits.max_bytes}")
                file.write(chunk)
                bar.update(len(chunk))
                pace.add(len(chunk))


class _Pace:
    """Refuses a host that keeps the connection alive and sends next to nothing."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._since = time.monotonic()
        self._bytes = 0

    def add(self, byte_count: int) -> None:
        self._bytes += byte_count
        elapsed_s = time.monotonic() - self._since
        if elapsed_s < self._limits.window_s:
            return
        if self._bytes < elapsed_s * self._limits.min_bytes_per_s:
            raise SourceFailed(f"too slow: {self._bytes} bytes in {elapsed_s:.1f} s")
        self._since += elapsed_s
        self._bytes = 0


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """Yield the body as it arrives.

    ``iter_content`` waits until a chunk is full, so a host that dribbles would never be noticed; ``read1``
    gives what is there. urllib3 before 2.2 lacks it; there small chunks bound the wait.
    """
    read1 = getattr(response.raw, "read1", None)
    read, amount = (read1, _CHUNK_BYTES) if read1 else (response.raw.read, _SMALL_CHUNK_BYTES)
    try:
        while chunk := read(amount, decode_content=True):
            yield chunk
    except urllib3.exceptions.ReadTimeoutError as error:
        raise SourceFailed("the host fell silent") from error
    except urllib3.exceptions.HTTPError as error:
        raise Interrupted("the connection broke") from error
