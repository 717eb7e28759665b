"""Bundles of a tiny model, made once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi.bundle.targets import BundleOptions
from ocrhpi.bundle.write import write_bundle
from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrhpi.model import Model


@pytest.fixture(scope="session")
def tiny_onnx(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_onnx_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def make_bundle(tiny_onnx: Model, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a bundle of the tiny model, ``name`` in a folder of its own."""
    cache = tmp_path_factory.mktemp("exports")

    def make(name: str = "rec.zip", **options: Any) -> Path:
        output = tmp_path_factory.mktemp("bundles") / name
        asked = BundleOptions(**{"target": "onnxruntime-cpu", "lines": 4, **options})
        return write_bundle(tiny_onnx, asked, output, cache_dir=cache).path

    return make


@pytest.fixture(scope="session")
def made_zip(make_bundle: Callable[..., Path]) -> Path:
    return make_bundle()


@pytest.fixture(scope="session")
def made_folder(make_bundle: Callable[..., Path]) -> Path:
    return make_bundle("rec")


@pytest.fixture
def zip_bundle(made_zip: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copy(made_zip, tmp_path / "rec.zip"))


@pytest.fixture
def folder_bundle(made_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(made_folder, tmp_path / "rec")


@pytest.fixture
def change_manifest(folder_bundle: Path) -> Callable[..., Path]:
    """Change the manifest of the folder, with a function of its content; return the folder."""

    def change(edit: Callable[[dict[str, Any]], object]) -> Path:
        path = folder_bundle / "manifest.json"
        content = json.loads(path.read_text("utf-8"))
        edit(content)
        path.write_text(json.dumps(content), "utf-8")
        return folder_bundle

    return change
