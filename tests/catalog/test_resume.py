from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ocrhpi.catalog.responses import PartialFile, SourceFailed
from ocrhpi.catalog.transfer import Downloader
from tests.catalog.conftest import FAST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.catalog.server import FileServer

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "inference.pdiparams"


@pytest.fixture
def one_attempt() -> Iterator[Downloader]:
    downloader = Downloader(replace(FAST, attempts=1))
    yield downloader
    downloader.close()


def test_a_truncated_body_is_resumed_within_the_call(server: FileServer, downloader: Downloader, target: Path) -> None:
    downloader.download(server.serve("/file", CONTENT, cuts=[500, 700]), target)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=500-", "bytes=1200-"]
    assert list(target.parent.iterdir()) == [target]


def test_a_truncated_body_is_resumed_by_the_next_call(
    server: FileServer, one_attempt: Downloader, target: Path
) -> None:
    url = server.serve("/file", CONTENT, cuts=[500])
    with pytest.raises(SourceFailed, match="br"):
        one_attempt.download(url, target)
    assert not target.exists()
    one_attempt.download(url, target)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=500-"]


def test_a_server_without_ranges_sends_all_again(server: FileServer, downloader: Downloader, target: Path) -> None:
    downloader.download(server.serve("/file", CONTENT, cuts=[500], ranges=False), target)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=500-"]


@pytest.mark.parametrize("if_range", [True, False])
def test_a_file_that_changed_meanwhile_is_fetched_anew(
    server: FileServer, one_attempt: Downloader, downloader: Downloader, target: Path, *, if_range: bool
) -> None:
    url = server.serve("/file", CONTENT, cuts=[500])
    with pytest.raises(SourceFailed):
        one_attempt.download(url, target)
    server.serve("/file", CONTENT[::-1], etag='"v2"', if_range=if_range)
    downloader.download(url, target)
    assert target.read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("etag", [None, 'W/"v1"'])
def test_without_a_strong_etag_it_begins_anew(
    server: FileServer, downloader: Downloader, target: Path, etag: str | None
) -> None:
    downloader.download(server.serve("/file", CONTENT, etag=etag, cuts=[500]), target)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, None]


def test_a_part_that_is_too_long_is_thrown_away(server: FileServer, downloader: Downloader, target: Path) -> None:
    url = server.serve("/file", CONTENT)
    partial = PartialFile.beside(target)
    partial.begin(url, '"v1"')
    partial.path.write_bytes(CONTENT + b"more")
    downloader.download(url, target)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT) + 4}-", None]


@pytest.mark.parametrize("note", [None, "{", "[]", '{"url": "http://elsewhere/file", "etag": "v"}'])
def test_a_part_of_unknown_origin_is_not_resumed(tmp_path: Path, note: str | None) -> None:
    partial = PartialFile.beside(tmp_path / "file")
    partial.path.write_bytes(b"part")
    if note is not None:
        partial.note.write_text(note)
    assert partial.resume_point("http://here/file") is None
