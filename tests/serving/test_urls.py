"""URLs that clients name: public hosts alone, at the address that was checked, and never for long."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi.errors import RequestRefused
from ocrhpi.serving import images
from ocrhpi.serving.images import fetch, is_public
from ocrhpi.serving.options import ServingOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = bytes(range(256)) * 500


class Handler(BaseHTTPRequestHandler):
    seen: list[tuple[str, str]]
    address: str

    def do_GET(self) -> None:
        self.seen.append((self.headers["Host"], self.path))
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path[4:].replace("SELF", self.address))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path not in {"/a.png", "/drips"}:
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        try:
            for start in range(0, len(CONTENT), 1000):
                self.wfile.write(CONTENT[start : start + 1000])
                if self.path == "/drips":
                    time.sleep(0.05)
        except OSError:
            pass  # the reader had enough

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass  # a client that refuses a certificate


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"seen": []}))
    server.RequestHandlerClass.address = f"127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def seen(server: Server) -> list[tuple[str, str]]:
    return server.RequestHandlerClass.seen  # type: ignore[attr-defined, no-any-return]


def options(**changes: Any) -> ServingOptions:
    return ServingOptions(**{"urls": "public", "url_timeout_s": 5.0, **changes})


def refused(url: str, **changes: Any) -> str:
    with pytest.raises(RequestRefused) as refusal:
        fetch(url, "file", options(**changes))
    assert refusal.value.status == 422
    assert str(refusal.value).startswith("file: ")
    return str(refusal.value)


@pytest.fixture
def home_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 127.0.0.1, and it alone, count as public."""
    monkeypatch.setattr(images, "is_public", lambda address: address == "127.0.0.1")


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),  # noqa: S104
        *("224.0.1.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1"),
        *("::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::"),
    ],
)
def test_private_addresses(address: str) -> None:
    assert not is_public(address)


def test_hosts_of_this_network_are_refused_unasked(server: Server) -> None:
    for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1"):
        assert "public internet" in refused(f"http://{host}:{server.server_port}/a.png")
    assert seen(server) == []


def test_any_host_is_asked_where_the_operator_says_so(server: Server) -> None:
    assert fetch(f"http://127.0.0.1:{server.server_port}/a.png", "file", options(urls="any")) == CONTENT


@pytest.mark.usefixtures("home_is_public")
def test_the_name_is_looked_up_once_and_sent_as_host(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def looked_up(host: str, _port: int) -> set[str]:
        asked.append(host)
        return {"127.0.0.1"} if len(asked) == 1 else {"10.0.0.1"}  # as a name that changes its address does

    monkeypatch.setattr(images, "_looked_up", looked_up)
    assert fetch(f"http://lines.example:{server.server_port}/a.png", "file", options()) == CONTENT
    assert asked == ["lines.example"]
    assert seen(server) == [(f"lines.example:{server.server_port}", "/a.png")]


@pytest.mark.usefixtures("home_is_public")
def test_redirects_are_checked_as_well(server: Server) -> None:
    url = f"http://127.0.0.1:{server.server_port}"
    assert fetch(f"{url}/to//a.png", "file", options()) == CONTENT
    count = len(seen(server))
    assert "public internet" in refused(f"{url}/to/http://127.0.0.2:{server.server_port}/a.png")
    assert len(seen(server)) == count + 1
    assert "no http:// or https:// URL" in refused(f"{url}/to/file:///etc/passwd")
    assert "redirects more than 5 times" in refused(f"{url}/to/" + "http://SELF/to/" * 7)


@pytest.mark.usefixtures("home_is_public")
def test_what_gives_no_file(server: Server) -> None:
    url = f"http://127.0.0.1:{server.server_port}"
    assert "the server answered 404" in refused(f"{url}/none")
    assert "longer than the limit of 1000 bytes" in refused(f"{url}/a.png", max_body_bytes=1000)
    began = time.monotonic()
    assert "took too long" in refused(f"{url}/drips", url_timeout_s=0.3)
    assert time.monotonic() - began < 3
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert "cannot be downloaded (NewConnectionError)" in refused(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    "url", ["http://", "http:///a.png", "http://a b/", "http://127.0.0.1:99999/", "http://[::1", "https://" + "a" * 300]
)
def test_what_is_no_url(url: str) -> None:
    assert len(refused(url)) < 500


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
@pytest.mark.usefixtures("home_is_public")
def test_the_certificate_must_be_that_of_the_name(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    made = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-out", certificate, "-keyout", key)
    subject = ("-subj", "/CN=lines.example", "-addext", "subjectAltName=DNS:lines.example")
    subprocess.run([shutil.which("openssl") or "", *made, *subject], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setattr(images, "_looked_up", lambda *_: {"127.0.0.1"})
    assert "SSLError" in refused(f"https://lines.example:{server.server_port}/a.png")
    monkeypatch.setattr("requests.utils.DEFAULT_CA_BUNDLE_PATH", str(certificate))
    assert fetch(f"https://lines.example:{server.server_port}/a.png", "file", options()) == CONTENT
    assert "SSLError" in refused(f"https://pages.example:{server.server_port}/a.png")
