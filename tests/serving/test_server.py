from __future__ import annotations

import socket

import pytest

from ocrhpi.errors import OptionError
from tests.serving.fakes import needs_serve

pytestmark = needs_serve


def test_a_free_port_and_its_url() -> None:
    from ocrhpi.serving.server import bind, url_of

    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert url_of(listener) == f"http://127.0.0.1:{port}"
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", port)) != 0  # nobody listens before the app is ready


def test_an_address_that_is_taken_or_is_none() -> None:
    from ocrhpi.serving.server import bind

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OptionError, match=rf"{port} of 127\.0\.0\.1 cannot be taken"):
            bind("127.0.0.1", port)
    with pytest.raises(OptionError, match="'no such host'"):
        bind("no such host", 0)
    with pytest.raises(OptionError, match="cannot be taken"):
        bind("192.0.2.1", 0)  # an address for documentation, of no machine


def test_ipv6() -> None:
    from ocrhpi.serving.server import bind, url_of

    try:
        listener = bind("::1", 0)
    except OptionError:
        pytest.skip("this machine has no IPv6")
    with listener:
        assert url_of(listener).startswith("http://[::1]:")


def test_a_connection_outlives_the_idle_time_of_usual_clients_and_proxies() -> None:
    """Else a request of theirs may meet a connection that is just being closed, and be lost."""
    from ocrhpi.serving.server import Server

    async def app(*_: object) -> None: ...

    assert Server(app, shutdown_timeout_s=1).config.timeout_keep_alive > 60
