"""A server in a thread of this process, and a client that checks the shape of every answer."""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests

from tests.serving.fakes import WAIT_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

INFER = "/text-recognition"


@dataclass(frozen=True)
class Client:
    url: str

    def post(self, body: Any = None, **options: Any) -> tuple[int, dict[str, Any]]:
        """Send JSON, or what ``options`` say; return status and answer."""
        if body is not None:
            options["json"] = body
        return checked(requests.post(self.url + INFER, timeout=WAIT_S, **options))

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=WAIT_S)

    def texts(self, body: Any) -> list[str]:
        status, answer = self.post(body)
        assert status == 200, answer
        return [line["prunedResult"]["rec_text"] for line in answer["result"]["textRecResults"]]


def checked(response: requests.Response) -> tuple[int, dict[str, Any]]:
    """Return status and answer, after a look at the shape that all answers have."""
    answer = response.json()
    assert response.headers["Content-Type"] == "application/json"
    assert isinstance(answer["logId"], str)
    if response.status_code == 200:
        assert set(answer) == {"logId", "result", "errorCode", "errorMsg"}
        assert (answer["errorCode"], answer["errorMsg"]) == (0, "Success")
    else:
        assert set(answer) == {"logId", "errorCode", "errorMsg"}
        assert answer["errorCode"] == response.status_code
        assert re.search(r"[^.?][.?]$", answer["errorMsg"])
    return response.status_code, answer


@contextmanager
def running(app: ASGIApp) -> Iterator[Client]:
    from ocrhpi.serving.server import Server, bind, url_of

    ready = threading.Event()
    listener = bind("127.0.0.1", 0)
    server = Server(app, shutdown_timeout_s=10, on_ready=ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    url = url_of(listener)
    thread.start()
    try:
        assert ready.wait(WAIT_S), "the server did not start"
        yield Client(url)
    finally:
        server.should_exit = True
        thread.join(WAIT_S)
        listener.close()
        assert not thread.is_alive()


def until(holds: Any) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)
