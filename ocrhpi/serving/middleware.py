"""Around the app: counts requests, and takes bodies within limits of size, sum and time.

A body is taken whole before the app is called, so that limits are answered in one place and nothing is parsed in vain.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from ocrhpi.errors import RequestRefused
from ocrhpi.serving.schema import refusal_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ocrhpi.serving.metrics import Metrics
    from ocrhpi.serving.options import ServingOptions

_OTHER_ROUTE = "other"  # paths that do not exist are not worth a time series each
_FAILED = 500


class RequestCounts:
    """Tells the metrics of every request.

    Args:
        app: The app.
        metrics: Is told.
        routes: Paths that are counted by their name.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: frozenset[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = _FAILED  # what the server answers if the app raises

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            route = scope["path"] if scope["path"] in self._routes else _OTHER_ROUTE
            self._metrics.answered(route, status, time.monotonic() - began)


class BodyLimits:
    """Takes the body of every request before the app sees it.

    Args:
        app: The app.
        options: The limits.
    """

    def __init__(self, app: ASGIApp, options: ServingOptions) -> None:
        self._app = app
        self._options = options
        self._pending = 0  # bytes of the bodies of all requests that are being answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive)
        try:
            await self._take(body)
            await self._app(scope, body.replay, send)
        except RequestRefused as refusal:
            await refusal_response(refusal)(scope, receive, send)
        except _ClientGone:
            pass  # nobody is there to be answered
        finally:
            self._pending -= body.held

    async def _take(self, body: _Body) -> None:
        limit_s = self._options.body_timeout_s
        try:
            await asyncio.wait_for(self._read(body), limit_s)
        except asyncio.TimeoutError:
            raise RequestRefused(408, f"the body did not arrive within {limit_s:g} s") from None

    async def _read(self, body: _Body) -> None:
        try:
            self._hold(body, body.declared)
            while not body.whole:
                await body.read_on()
                if len(body.content) > body.held:
                    self._hold(body, len(body.content))
        except RequestRefused:
            # A client that still sends would see a broken connection in place of the answer; so that is dropped first.
            await body.drop_rest(self._options.max_body_bytes)
            raise

    def _hold(self, body: _Body, size: int) -> None:
        """Count ``size`` bytes for this body."""
        if size > self._options.max_body_bytes:
            problem = f"the body is longer than the limit of {self._options.max_body_bytes} bytes; send less"
            raise RequestRefused(413, problem)
        others = self._pending - body.held
        if others and others + size > self._options.max_pending_bytes:
            raise RequestRefused(429, "too many requests are being answered; try again later", 1)
        self._pending = others + size
        body.held = size


class _ClientGone(Exception):
    """The client closed the connection."""


class _Body:
    """The body of one request.

    Attributes:
        content: What came of it so far.
        whole: Whether all of it came.
        declared: Its length in bytes, where the request says it, else 0.
        held: Bytes that are counted for it.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._replayed = False
        self.content = bytearray()
        self.whole = False
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        self.declared = int(lengths[0]) if lengths and lengths[0].isdigit() else 0
        self.held = 0

    async def read_on(self) -> None:
        self.content += await self._next()

    async def drop_rest(self, most: int) -> None:
        """Read to the end of the body, and no more than ``most`` bytes of it."""
        self.content.clear()
        dropped = 0
        while not self.whole and dropped <= most:
            dropped += len(await self._next())

    async def replay(self) -> Message:
        """Give the app the body, and then what comes after it."""
        if self._replayed:
            return await self._receive()
        self._replayed = True
        content, self.content = bytes(self.content), bytearray()
        return {"type": "http.request", "body": content, "more_body": False}

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise _ClientGone
        self.whole = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk
