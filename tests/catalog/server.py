"""A file server on this machine that misbehaves on request."""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE_BYTES = 10


@dataclass
class Route:
    """What one path answers.

    Attributes:
        content: The file.
        etag: Its version.
        statuses: Status codes of the first answers, before the file is served.
        headers: Further headers of every answer.
        cuts: For the first answers that serve the file: bytes after which the connection is cut.
        ranges: Whether ``Range`` is honoured.
        if_range: Whether ``If-Range`` is honoured.
        length: Whether the length is announced.
        redirect: The path that this one redirects to.
        pause_s: Seconds between two pieces of 10 bytes; 0 sends the file in one go.
    """

    content: bytes = b""
    etag: str | None = '"v1"'
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    if_range: bool = True
    length: bool = True
    redirect: str | None = None
    pause_s: float = 0.0


class FileServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.routes: dict[str, Route] = {}
        self.requests: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def serve(self, path: str, content: bytes, **behaviour: object) -> str:
        self.routes[path] = Route(content, **behaviour)  # type: ignore[arg-type]
        return self.url + path

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]

    @property
    def ranges(self) -> list[str | None]:
        return [wanted for _, wanted in self.requests]


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        route = self.server.routes.get(self.path, Route(statuses=[404] * 99))
        with suppress(ConnectionError):
            if route.redirect:
                self._head(302, route, {"Location": route.redirect, "Content-Length": "0"})
            elif route.statuses:
                self._head(route.statuses.pop(0), route, {"Content-Length": "0"})
            else:
                self._serve(route, wanted)

    def _serve(self, route: Route, wanted: str | None) -> None:
        if_range = self.headers.get("If-Range")
        stale = route.if_range and if_range is not None and if_range != route.etag
        start = int(re.findall(r"\d+", wanted)[0]) if wanted and route.ranges and not stale else 0
        if start >= len(route.content) and start:
            self._head(416, route, {"Content-Length": "0"})
            return
        body = route.content[start:]
        extra = {"Content-Length": str(len(body))} if route.length else {}
        if start:
            extra["Content-Range"] = f"bytes {start}-{len(route.content) - 1}/{len(route.content)}"
        self._head(206 if start else 200, route, extra)
        self._send(body[: route.cuts.pop(0)] if route.cuts else body, route.pause_s)

    def _head(self, status: int, route: Route, extra: dict[str, str]) -> None:
        self.send_response(status)
        etag = {"ETag": route.etag} if route.etag else {}
        for name, value in {**etag, **route.headers, **extra}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, body: bytes, pause_s: float) -> None:
        if not pause_s:
            self.wfile.write(body)
            return
        for start in range(0, len(body), _PIECE_BYTES):
            self.wfile.write(body[start : start + _PIECE_BYTES])
            time.sleep(pause_s)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        pass


@contextmanager
def running_server() -> Iterator[FileServer]:
    server = FileServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
