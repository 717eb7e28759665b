from __future__ import annotations

import errno
import json
import logging
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocrhpi.catalog import fetch, locate, models_dir, store, verify
from ocrhpi.catalog.sources import ArchiveHost, FileHost
from ocrhpi.errors import DownloadError, ModelFormatError, ModelNotFound, OptionError, UnknownModel
from ocrhpi.files import locked
from tests.catalog.conftest import FAST, FILES, MODEL, model_tar

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tests.catalog.server import FileServer


@pytest.fixture
def fetched(hub: FileHost, tmp_path: Path) -> Path:
    return fetch(MODEL, sources=[hub], cache_dir=tmp_path, quiet=True, limits=FAST)


def damage(path: Path) -> None:
    """Change the content, not the size."""
    path.write_bytes(path.read_bytes()[::-1])


def test_a_fetched_model_is_found(fetched: Path, tmp_path: Path) -> None:
    assert fetched == tmp_path / "models" / MODEL == locate(MODEL, cache_dir=tmp_path)
    assert {path.name for path in fetched.iterdir()} == {*FILES, "ocrhpi_manifest.json"}
    assert {path.name for path in fetched.parent.iterdir()} <= {MODEL, f".{MODEL}.lock"}


def test_the_manifest_says_what_came_from_where(fetched: Path, hub: FileHost) -> None:
    manifest = json.loads((fetched / "ocrhpi_manifest.json").read_text())
    assert (manifest["format"], manifest["model"], manifest["source"]) == (1, MODEL, "hub")
    assert datetime.fromisoformat(manifest["fetched_at"]).utcoffset() == timedelta(0)
    assert {name: entry["size_bytes"] for name, entry in manifest["files"].items()} == {
        name: len(content) for name, content in FILES.items()
    }
    assert manifest["files"]["inference.yml"]["origin"] == f"{hub.endpoint}/{MODEL}/inference.yml"
    assert manifest["files"]["inference.yml"]["sha256_known"] is False


def test_a_model_in_the_cache_needs_no_network(
    fetched: Path, server: FileServer, hub: FileHost, closed_url: str, tmp_path: Path
) -> None:
    before = len(server.requests)
    assert fetch(MODEL, sources=[hub], cache_dir=tmp_path) == fetched
    unreachable = FileHost("off", closed_url, "/{model}/{file}")
    assert fetch(MODEL, sources=[unreachable], cache_dir=tmp_path) == fetched
    assert len(server.requests) == before


def test_the_next_source_is_asked(server: FileServer, hub: FileHost, closed_url: str, tmp_path: Path) -> None:
    off = FileHost("off", closed_url, "/{model}/{file}")
    lacking = FileHost("lacking", server.url, "/none/{model}/{file}")
    path = fetch(MODEL, sources=[off, lacking, hub], cache_dir=tmp_path, quiet=True, limits=FAST)
    assert json.loads((path / "ocrhpi_manifest.json").read_text())["source"] == "hub"
    assert server.paths[0] == f"/none/{MODEL}/inference.yml"


def test_when_all_fail_the_error_names_each_source_and_a_way_out(
    server: FileServer, closed_url: str, tmp_path: Path
) -> None:
    off = FileHost("off", closed_url, "/{model}/{file}")
    lacking = FileHost("lacking", server.url, "/none/{model}/{file}")
    with pytest.raises(DownloadError, match=r"model_dir.*OCRHPI_MODEL_SOURCES") as caught:
        fetch(MODEL, sources=[off, lacking], cache_dir=tmp_path, quiet=True, limits=FAST)
    assert list(caught.value.reasons) == ["off", "lacking"]
    assert "refused" in caught.value.reasons["off"]
    assert "HTTP 404" in caught.value.reasons["lacking"]
    assert [path.name for path in (tmp_path / "models").glob(".staging*")] == []


def test_a_model_that_lacks_a_file_is_no_model(server: FileServer, tmp_path: Path) -> None:
    server.serve(f"/{MODEL}_infer.tar", model_tar({"inference.yml": b"x", "inference.json": b"{}"}))
    with pytest.raises(DownloadError, match=r"files: it sent no inference\.pdiparams"):
        fetch(MODEL, sources=[ArchiveHost("files", server.url)], cache_dir=tmp_path, quiet=True, limits=FAST)


def test_a_download_that_broke_off_is_resumed_by_the_next_fetch(
    server: FileServer, hub: FileHost, tmp_path: Path
) -> None:
    once = replace(FAST, attempts=1)
    server.routes[f"/{MODEL}/inference.pdiparams"].cuts = [1000]
    with pytest.raises(DownloadError):
        fetch(MODEL, sources=[hub], cache_dir=tmp_path, quiet=True, limits=once)
    assert locate(MODEL, cache_dir=tmp_path) is None
    path = fetch(MODEL, sources=[hub], cache_dir=tmp_path, quiet=True, limits=once)
    assert (path / "inference.pdiparams").read_bytes() == FILES["inference.pdiparams"]
    assert server.ranges[-1] == "bytes=1000-"


def test_a_directory_without_a_manifest_does_not_count(hub: FileHost, tmp_path: Path) -> None:
    directory = tmp_path / "models" / MODEL
    directory.mkdir(parents=True)
    for name, content in FILES.items():
        (directory / name).write_bytes(content)
    (directory / "stray").touch()
    assert locate(MODEL, cache_dir=tmp_path) is None
    assert fetch(MODEL, sources=[hub], cache_dir=tmp_path, quiet=True, limits=FAST) == directory
    assert locate(MODEL, cache_dir=tmp_path) == directory
    assert not (directory / "stray").exists()


def test_a_file_of_another_size_does_not_count(
    fetched: Path, server: FileServer, hub: FileHost, tmp_path: Path
) -> None:
    (fetched / "inference.pdiparams").write_bytes(b"short")
    assert locate(MODEL, cache_dir=tmp_path) is None
    before = len(server.requests)
    fetch(MODEL, sources=[hub], cache_dir=tmp_path, quiet=True, limits=FAST)
    assert (fetched / "inference.pdiparams").read_bytes() == FILES["inference.pdiparams"]
    assert len(server.requests) == before + len(FILES)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"model": "PP-OCRv4_mobile_rec"},
        {"files": {}},
        {"files": None},
        {"files": {"../evil": {"size_bytes": 0, "sha256": "", "sha256_known": False, "origin": ""}}},
        {"files": {"inference.yml": {}}},
    ],
)
def test_a_manifest_that_does_not_fit_does_not_count(fetched: Path, tmp_path: Path, change: dict[str, object]) -> None:
    manifest = fetched / "ocrhpi_manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
    assert locate(MODEL, cache_dir=tmp_path) is None


def test_verify_reads_every_byte(fetched: Path, tmp_path: Path) -> None:
    assert verify(MODEL, cache_dir=tmp_path) == fetched
    damage(fetched / "inference.pdiparams")
    assert locate(MODEL, cache_dir=tmp_path) == fetched
    with pytest.raises(ModelFormatError, match=r"inference\.pdiparams: SHA-256: is .* was fetched"):
        verify(MODEL, cache_dir=tmp_path)


def test_verify_needs_a_complete_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="complete model"):
        verify(MODEL, cache_dir=tmp_path)


def test_names_are_checked_first(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel):
        fetch("../evil", cache_dir=tmp_path)
    with pytest.raises(UnknownModel):
        locate("PP-OCRv9", cache_dir=tmp_path)
    with pytest.raises(OptionError):
        fetch(MODEL, sources=["nowhere"], cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written(hub: FileHost, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file, no directory")
    with pytest.raises(DownloadError, match=r"cache: .*OCRHPI_CACHE_DIR"):
        fetch(MODEL, sources=[hub], cache_dir=tmp_path, quiet=True, limits=FAST)


def test_a_cache_that_may_not_be_written_to(
    hub: FileHost, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(path: Path) -> AbstractContextManager[bool]:
        if tmp_path in path.parents:
            raise PermissionError(errno.EACCES, "Permission denied")
        return locked(path)

    monkeypatch.setattr(store, "locked", refused)
    paths = {fetch(MODEL, sources=[hub], cache_dir=tmp_path, quiet=True, limits=FAST) for _ in range(2)}
    (path,) = paths
    assert tmp_path not in path.parents
    assert {file.name for file in path.iterdir()} > set(FILES)
    assert len(set(server.requests)) == len(server.requests), "fetched once"
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "set OCRHPI_CACHE_DIR to a folder that can be written to" in warning


def test_the_cache_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert models_dir().parts[-2:] != (tmp_path.name, "models")
    assert "ocrhpi" in models_dir().parts
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(tmp_path))
    assert models_dir() == tmp_path / "models"
    assert models_dir("~/elsewhere") == Path.home() / "elsewhere" / "models"
