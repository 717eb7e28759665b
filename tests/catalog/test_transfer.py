from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ocrhpi.catalog.responses import FileAbsent, SourceFailed
from ocrhpi.catalog.transfer import Downloader, Limits
from tests.catalog.conftest import FAST

if TYPE_CHECKING:
    from pathlib import Path

    from tests.catalog.server import FileServer

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "inference.pdiparams"


def download(url: str, target: Path, limits: Limits, *, progress: bool | None = None) -> None:
    downloader = Downloader(limits, progress=progress)
    try:
        downloader.download(url, target)
    finally:
        downloader.close()


def test_a_file_arrives_whole(server: FileServer, downloader: Downloader, target: Path) -> None:
    url = server.serve("/file", CONTENT)
    file = downloader.download(url, target)
    assert target.read_bytes() == CONTENT
    assert (file.path, file.sha256, file.size_bytes, file.origin) == (target, SHA256, len(CONTENT), url)
    assert not file.sha256_known
    assert list(target.parent.iterdir()) == [target]


def test_a_busy_server_is_asked_again(server: FileServer, downloader: Downloader, target: Path) -> None:
    url = server.serve("/file", CONTENT, statuses=[503, 429], headers={"Retry-After": "0"})
    downloader.download(url, target)
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_a_server_that_stays_busy_is_given_up(server: FileServer, downloader: Downloader, target: Path) -> None:
    url = server.serve("/file", CONTENT, statuses=[503] * 9)
    with pytest.raises(SourceFailed, match=r"inference\.pdiparams: HTTP 503.*attempts made: 3"):
        downloader.download(url, target)
    assert len(server.requests) == FAST.attempts


def test_a_long_wait_that_a_server_asks_for_is_capped() -> None:
    assert Limits(max_wait_s=10).wait_s(0, 3600.0) == 10
    assert Limits(max_wait_s=10, backoff_s=0.5).wait_s(2, 0.0) == 2.0


def test_a_missing_file_is_reported_at_once(server: FileServer, downloader: Downloader, target: Path) -> None:
    with pytest.raises(FileAbsent, match="HTTP 404"):
        downloader.download(server.url + "/none", target)
    assert len(server.requests) == 1


def test_a_refusal_is_reported_at_once(server: FileServer, downloader: Downloader, target: Path) -> None:
    url = server.serve("/file", CONTENT, statuses=[401])
    with pytest.raises(SourceFailed, match="HTTP 401"):
        downloader.download(url, target)
    assert len(server.requests) == 1


def test_a_web_page_is_no_file(server: FileServer, downloader: Downloader, target: Path) -> None:
    url = server.serve("/file", b"<html>", headers={"Content-Type": "text/html; charset=utf-8"})
    with pytest.raises(SourceFailed, match="web page"):
        downloader.download(url, target)


def test_an_empty_file_is_refused(server: FileServer, downloader: Downloader, target: Path) -> None:
    with pytest.raises(SourceFailed, match="empty"):
        downloader.download(server.serve("/file", b""), target)
    assert not target.exists()


def test_nothing_listens(closed_url: str, downloader: Downloader, target: Path) -> None:
    with pytest.raises(SourceFailed, match=r"no connection to 127\.0\.0\.1:\d+ \(refused\)"):
        downloader.download(closed_url + "/file", target)


def test_a_host_that_dribbles_is_given_up(server: FileServer, target: Path) -> None:
    url = server.serve("/file", CONTENT, pause_s=0.05)
    began = time.monotonic()
    with pytest.raises(SourceFailed, match="too slow"):
        download(url, target, replace(FAST, min_bytes_per_s=1e6, window_s=0.3))
    # At its own pace the file would take 50 s.
    assert time.monotonic() - began < 25
    assert not target.exists()


def test_a_host_that_falls_silent_is_given_up(server: FileServer, target: Path) -> None:
    url = server.serve("/file", CONTENT, pause_s=30.0)
    with pytest.raises(SourceFailed, match="silent"):
        download(url, target, replace(FAST, silence_timeout_s=0.3))
    assert len(server.requests) == 1


@pytest.mark.parametrize("length", [True, False])
def test_a_file_beyond_the_limit_is_refused(server: FileServer, target: Path, *, length: bool) -> None:
    url = server.serve("/file", CONTENT, length=length)
    with pytest.raises(SourceFailed, match="limit of 1000"):
        download(url, target, replace(FAST, max_bytes=1000))
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize(("progress", "shown"), [(True, True), (False, False), (None, False)])
def test_progress(
    server: FileServer,
    target: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    progress: bool | None,
    shown: bool,
) -> None:
    download(server.serve("/file", CONTENT), target, FAST, progress=progress)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("inference.pdiparams" in captured.err) is shown
