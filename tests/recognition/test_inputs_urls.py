"""URLs, from a server on this machine: read into memory, or refused with the reason."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from PIL import Image

from ocrhpi.errors import UnreadableInput
from ocrhpi.recognition.inputs import Limits, read_lines
from ocrhpi.values import LineImage, UnreadableLine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PICTURE = np.full((6, 9, 3), 77, np.uint8)
PNG = cv2.imencode(".png", PICTURE)[1].tobytes()


class Handler(BaseHTTPRequestHandler):
    bodies: dict[str, bytes]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/slow":
            time.sleep(1)
        if path.startswith("/drips"):
            self.drip(in_headers=path == "/drips-headers")
            return
        if path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/a.png")
            self.end_headers()
            return
        body = self.bodies.get(path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        if path != "/unannounced":
            missing = {"/cut": 1, "/stalls": 1 << 40}.get(path, 0)
            self.send_header("Content-Length", str(len(body) + missing))
        if path == "/gzip":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        try:
            self.wfile.write(body)
            if path == "/stalls":
                time.sleep(1)
        except ConnectionError:
            pass  # the reader had enough

    def drip(self, *, in_headers: bool) -> None:
        """Send a byte each 10 ms, for a second, in the body or in a header."""
        start = b"HTTP/1.1 200 OK\r\n" + (b"X-Padding: " if in_headers else b"Content-Length: 1000\r\n\r\n")
        self.close_connection = True
        try:
            self.wfile.write(start)
            for _ in range(100):
                self.wfile.write(b"x")
                time.sleep(0.01)
        except ConnectionError:
            pass

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    document: Path = tmp_path_factory.mktemp("www") / "doc.pdf"
    pages = [Image.fromarray(PICTURE), Image.fromarray(PICTURE)]
    pages[0].save(document, "PDF", save_all=True, append_images=pages[1:])
    Handler.bodies = {
        "/a.png": PNG,
        "/slow": PNG,
        "/stalls": PNG,
        "/cut": PNG,
        "/page": b"<html>not found</html>",
        "/doc.pdf": document.read_bytes(),
        "/long": PNG + bytes(1 << 20),
        "/unannounced": PNG + bytes(1 << 20),
        "/empty": b"",
        "/gzip": gzip.compress(PNG),
    }
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def refusal(url: str, limits: Limits | None = None) -> str:
    (line,) = read_lines(url, limits or Limits())
    assert isinstance(line, UnreadableLine)
    assert isinstance(line.error, UnreadableInput)
    assert line.input_path == line.error.where == url
    return line.error.reason


@pytest.mark.parametrize("path", ["/a.png", "/a.png?size=large&name=b.pdf", "/moved"])
def test_url_is_read_and_named_as_given(server: str, path: str) -> None:
    (line,) = read_lines(server + path)
    assert isinstance(line, LineImage)
    assert np.array_equal(line.pixels, PICTURE)
    assert line.input_path == server + path
    assert line.page_index is None


def test_scheme_may_be_in_capitals(server: str) -> None:
    (line,) = read_lines(server.replace("http", "HTTP") + "/a.png")
    assert isinstance(line, LineImage)


def test_document_behind_a_url_gives_its_pages(server: str) -> None:
    lines = list(read_lines([server + "/doc.pdf"]))
    assert [line.page_index for line in lines] == [0, 1]
    assert {line.input_path for line in lines} == {server + "/doc.pdf"}


def test_answers_that_are_no_image(server: str) -> None:
    assert refusal(server + "/gone.png") == "the server answered 404 Not Found"
    assert "begins with b'<html>not found<'" in refusal(server + "/page")
    assert "is empty" in refusal(server + "/empty")
    assert "cannot be downloaded" in refusal(server + "/cut")  # or the image would be taken for damaged


def test_dead_and_malformed_urls() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    assert "cannot be downloaded" in refusal(f"http://127.0.0.1:{port}/a.png")
    assert "cannot be downloaded" in refusal("http://")
    assert "cannot be downloaded" in refusal("http://[/a.png")


def test_silent_server_is_given_up(server: str) -> None:
    start = time.monotonic()
    reason = refusal(server + "/slow", Limits(url_read_timeout_s=0.2))
    assert reason == "the server was silent for 0.2 s (option url_read_timeout_s)"
    assert time.monotonic() - start < 0.9


@pytest.mark.parametrize("path", ["/drips", "/drips-headers"])
def test_a_server_that_drips_is_given_up(server: str, path: str) -> None:
    start = time.monotonic()
    reason = refusal(server + path, Limits(url_total_timeout_s=0.3, url_read_timeout_s=5.0))
    assert reason == "not downloaded within 0.3 s (option url_total_timeout_s)"
    assert time.monotonic() - start < 1.5


def test_a_body_may_be_compressed(server: str) -> None:
    (line,) = read_lines(server + "/gzip")
    assert isinstance(line, LineImage)
    assert np.array_equal(line.pixels, PICTURE)


@pytest.mark.parametrize("path", ["/long", "/unannounced"])
def test_length_is_limited_announced_or_not(server: str, path: str) -> None:
    assert "limit of 100000 bytes; raise the option url_max_bytes" in refusal(
        server + path, Limits(url_max_bytes=100_000)
    )
    (line,) = read_lines(server + path, Limits(url_max_bytes=len(PNG) + (1 << 20)))
    assert isinstance(line, LineImage)


def test_announced_length_is_refused_unread_and_silence_in_the_midst_ends(server: str) -> None:
    start = time.monotonic()
    assert "limit of 100000 bytes" in refusal(server + "/stalls", Limits(url_max_bytes=100_000))
    reason = refusal(server + "/stalls", Limits(url_max_bytes=1 << 41, url_read_timeout_s=0.2))
    assert reason == "the server was silent for 0.2 s (option url_read_timeout_s)"
    assert time.monotonic() - start < 0.9


def test_faulty_url_does_not_stop_the_walk(server: str) -> None:
    lines = list(read_lines([server + "/gone.png", server + "/a.png"]))
    assert [type(line) for line in lines] == [UnreadableLine, LineImage]
