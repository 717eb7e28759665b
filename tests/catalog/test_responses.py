from __future__ import annotations

import socket

import pytest
import requests
from urllib3.exceptions import MaxRetryError

from ocrhpi.catalog.responses import Interrupted, SourceFailed, connection_failure, read_response

URL = "https://hub.example/file"


def answer(url: str, status: int = 200, **headers: str) -> requests.Response:
    response = requests.Response()
    response.url = url
    response.status_code = status
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


def test_a_redirect_must_stay_encrypted() -> None:
    response = answer("http://storage.example/file")
    response.history = [answer(URL, 302)]
    with pytest.raises(SourceFailed, match="not encrypted"):
        read_response(response, None)


def test_a_compressed_body_says_nothing_about_the_file() -> None:
    body = read_response(answer(URL, Content_Length="10", Content_Encoding="gzip", ETag='"v1"'), None)
    assert (body.total_bytes, body.etag) == (None, None)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (requests.ConnectTimeout(), r"no connection to hub\.example \(timed out\)"),
        (requests.exceptions.ProxyError(), "the proxy failed"),
        (requests.exceptions.SSLError("bad certificate"), "bad certificate"),
        (requests.ReadTimeout(), r"hub\.example does not answer"),
        (requests.TooManyRedirects("30 redirects"), "30 redirects"),
    ],
)
def test_these_failures_go_to_the_next_source(error: requests.RequestException, reason: str) -> None:
    failure = connection_failure(error, URL)
    assert isinstance(failure, SourceFailed)
    with pytest.raises(SourceFailed, match=reason):
        raise failure


def test_a_name_that_cannot_be_resolved() -> None:
    error = requests.ConnectionError(MaxRetryError(None, URL))  # type: ignore[arg-type]
    error.__cause__ = socket.gaierror(-2, "Name or service not known")
    failure = connection_failure(error, URL)
    assert isinstance(failure, SourceFailed)
    assert failure.reason == "no connection to hub.example (its name cannot be resolved)"


def test_a_connection_that_breaks_is_tried_again() -> None:
    assert isinstance(connection_failure(requests.ConnectionError("reset"), URL), Interrupted)
