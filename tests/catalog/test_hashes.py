from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from ocrhpi.catalog.responses import PartialFile, SourceFailed

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.catalog.transfer import Downloader
    from tests.catalog.server import FileServer

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HEADER = "X-Linked-Etag"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "inference.pdiparams"


def redirected(server: FileServer, announced: str) -> str:
    """Serve the file as Hugging Face does: the hash stands on the redirect, not on the file."""
    server.serve("/storage", CONTENT)
    return server.serve("/file", b"", redirect="/storage", headers={HEADER: f'"{announced}"'})


def test_an_announced_hash_that_fits(server: FileServer, downloader: Downloader, target: Path) -> None:
    file = downloader.download(redirected(server, SHA256), target, sha256_header=HEADER)
    assert file.sha256_known
    assert file.sha256 == SHA256


def test_a_wrong_hash_is_refused_and_leaves_nothing(server: FileServer, downloader: Downloader, target: Path) -> None:
    with pytest.raises(SourceFailed, match=f"SHA-256 is {SHA256}, expected {'0' * 64}"):
        downloader.download(redirected(server, "0" * 64), target, sha256_header=HEADER)
    assert list(target.parent.iterdir()) == []
    assert server.paths == ["/file", "/storage"]


def test_a_git_hash_is_no_sha256(server: FileServer, downloader: Downloader, target: Path) -> None:
    file = downloader.download(redirected(server, "a" * 40), target, sha256_header=HEADER)
    assert not file.sha256_known


def test_a_damaged_part_costs_one_more_attempt(server: FileServer, downloader: Downloader, target: Path) -> None:
    url = redirected(server, SHA256)
    partial = PartialFile.beside(target)
    partial.begin(url, '"v1"')
    partial.path.write_bytes(b"damaged")
    file = downloader.download(url, target, sha256_header=HEADER)
    assert file.sha256_known
    assert target.read_bytes() == CONTENT
    assert server.ranges == ["bytes=7-", "bytes=7-", None, None]
