"""Limits of bodies, message by message, as an ASGI server delivers them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi.serving.options import ServingOptions
from tests.serving.fakes import Recorder, needs_serve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.serving.middleware import BodyLimits

pytestmark = needs_serve

GONE = {"type": "http.disconnect"}


def body(*chunks: bytes) -> list[dict[str, Any]]:
    last = len(chunks) - 1
    return [{"type": "http.request", "body": chunk, "more_body": number < last} for number, chunk in enumerate(chunks)]


class Exchange:
    """One request, of the messages given; with ``stays`` the client then stays connected, silently."""

    def __init__(self, messages: Sequence[dict[str, Any]], length: int | None = None, *, stays: bool = False) -> None:
        headers = [] if length is None else [(b"content-length", str(length).encode())]
        self.scope = {"type": "http", "path": "/x", "headers": headers}
        self.messages = list(messages)
        self.sent: list[Any] = []
        self.stays = stays

    async def receive(self) -> Any:
        if not self.messages and self.stays:
            await asyncio.Event().wait()
        return self.messages.pop(0) if self.messages else GONE

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def go(self, app: Any) -> tuple[int, str] | None:
        """Return status and error message or body of the answer."""
        await app(self.scope, self.receive, self.send)
        if not self.sent:
            return None
        text = self.sent[1]["body"].decode()
        return self.sent[0]["status"], json.loads(text)["errorMsg"] if text.startswith("{") else text


class Echo:
    """An app that answers with the body, once its gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.calls = 0

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        message = await receive()
        assert not message["more_body"]
        await self.gate.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": message["body"]})


def limits(app: Any, **options: Any) -> BodyLimits:
    from ocrhpi.serving.middleware import BodyLimits

    return BodyLimits(app, ServingOptions(**options))


@pytest.mark.parametrize("length", [None, 6], ids=["chunked", "length"])
def test_the_app_gets_the_whole_body_at_once(length: int | None) -> None:
    async def main() -> None:
        app = limits(Echo(), max_body_bytes=6)
        for _ in range(3):
            assert await Exchange(body(b"abc", b"", b"def"), length).go(app) == (200, "abcdef")
        assert app._pending == 0

    asyncio.run(main())


@pytest.mark.parametrize("length", [None, 7, 10**15], ids=["chunked", "length", "huge length"])
def test_a_body_that_is_too_long_is_taken_off_and_refused(length: int | None) -> None:
    async def main() -> None:
        echo = Echo()
        app = limits(echo, max_body_bytes=6)
        exchange = Exchange(body(b"abcd", b"efg"), length, stays=True)
        status, message = await exchange.go(app) or (0, "")
        assert (status, exchange.messages, echo.calls) == (413, [], 0)
        assert "longer than the limit of 6 bytes" in message
        assert app._pending == 0

    asyncio.run(main())


def test_not_more_is_taken_off_than_a_body_may_hold() -> None:
    async def main() -> None:
        exchange = Exchange(body(*[b"abcd"] * 1000))
        status, _ = await exchange.go(limits(Echo(), max_body_bytes=6)) or (0, "")
        assert status == 413
        assert len(exchange.messages) > 990

    asyncio.run(main())


def test_all_bodies_together_are_bounded_until_they_are_answered() -> None:
    async def main() -> None:
        echo = Echo()
        app = limits(echo, max_body_bytes=6, max_pending_bytes=10)
        echo.gate.clear()
        first = asyncio.create_task(Exchange(body(b"abcdef"), 6).go(app))
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        exchange = Exchange(body(b"ghijk"))
        status, message = await exchange.go(app) or (0, "")
        assert (status, dict(exchange.sent[0]["headers"])[b"retry-after"]) == (429, b"1")
        assert "too many requests" in message
        echo.gate.set()
        assert await first == (200, "abcdef")
        assert await Exchange(body(b"ghijk")).go(app) == (200, "ghijk")

    asyncio.run(main())


def test_one_body_may_exceed_what_all_may_hold_if_it_is_alone() -> None:
    async def main() -> None:
        assert await Exchange(body(b"abcdef")).go(limits(Echo(), max_pending_bytes=2)) == (200, "abcdef")

    asyncio.run(main())


def test_a_body_that_does_not_come_is_given_up() -> None:
    async def main() -> None:
        app = limits(Echo(), body_timeout_s=0.05)
        exchange = Exchange([{"type": "http.request", "body": b"a", "more_body": True}], 5, stays=True)
        status, message = await exchange.go(app) or (0, "")
        assert status == 408
        assert "within 0.05 s" in message
        assert app._pending == 0

    asyncio.run(main())


@pytest.mark.parametrize("length", [None, 5, 10**15])
def test_a_client_that_leaves_is_not_answered(length: int | None) -> None:
    async def main() -> None:
        echo = Echo()
        app = limits(echo, max_body_bytes=6)
        messages: list[dict[str, Any]] = [{"type": "http.request", "body": b"a", "more_body": True}, GONE]
        assert await Exchange(messages, length).go(app) is None
        assert (echo.calls, app._pending) == (0, 0)

    asyncio.run(main())


def test_the_app_still_learns_that_the_client_left() -> None:
    received = []

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        received.extend([await receive(), await receive()])

    asyncio.run(Exchange(body(b"abc")).go(limits(app)))
    assert received == [{"type": "http.request", "body": b"abc", "more_body": False}, GONE]


def test_other_scopes_pass() -> None:
    from ocrhpi.serving.middleware import RequestCounts

    seen = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(limits(RequestCounts(app, Recorder(), frozenset()))({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == ["lifespan"]


def test_every_answer_is_counted_by_known_routes() -> None:
    from ocrhpi.serving.middleware import RequestCounts

    async def fails(*_: Any) -> None:
        raise KeyError("a fault of ours")

    async def main() -> None:
        recorder = Recorder()
        await Exchange(body(b"abc")).go(RequestCounts(Echo(), recorder, frozenset({"/x"})))
        await Exchange(body(b"abc")).go(RequestCounts(Echo(), recorder, frozenset({"/y"})))
        with pytest.raises(KeyError):
            await Exchange(body(b"abc")).go(RequestCounts(fails, recorder, frozenset({"/x"})))
        assert recorder.answers == [("/x", 200), ("other", 200), ("/x", 500)]

    asyncio.run(main())
