"""The app on this machine, run by uvicorn until a signal says stop; what was accepted is answered first."""

from __future__ import annotations

import signal
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from ocrhpi.errors import OptionError
from ocrhpi.serving.options import KEEP_ALIVE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

_STARTUP_FAILED = 3  # as uvicorn has it


class Server(uvicorn.Server):
    """uvicorn with our settings; says when it takes requests.

    Args:
        app: The app.
        shutdown_timeout_s: After so many seconds of stopping, what is still not answered is given up.
        access_log: Log every request.
        on_ready: Is called once requests are taken.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        shutdown_timeout_s: int,
        access_log: bool = False,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="on",
                ws="none",
                log_level="info" if access_log else "warning",
                access_log=access_log,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=shutdown_timeout_s,
            )
        )
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app, then listen."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address; it does not listen yet, so clients are refused until `run` takes them.

    Args:
        host: Name or address of an interface of this machine.
        port: 0 takes a free one.

    Raises:
        OptionError: The address cannot be taken.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, OverflowError, UnicodeError) as error:
        raise OptionError("host", f"received {host!r}: {error}; expected a name or address of this machine") from error
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":  # there it would share the port with whoever has it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        problem = f"{port} of {host} cannot be taken ({error.strerror}); choose another one, or 0 for any"
        raise OptionError("port", problem) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the URL of a bound socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(server: Server, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT: then accept nothing, answer what was accepted, and return.

    Args:
        server: The server.
        listener: From `bind`.
    """
    with _signals_outlived():
        server.run(sockets=[listener])
    if not server.started:  # uvicorn has logged why
        sys.exit(_STARTUP_FAILED)


@contextmanager
def _signals_outlived() -> Iterator[None]:
    """Let this process live on after a signal that stopped the server.

    When uvicorn is done, it sends itself the signal once more, which would end the process by that signal, and a
    graceful stop would look like a failure.
    """
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
