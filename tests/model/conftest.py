"""One cache for all, since a conversion from Paddle takes seconds, and the models that are shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.oracle import LETTERS, operators_of, write_onnx, write_paddle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def exports_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def shared_cache(exports_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(exports_dir))
    return exports_dir


@pytest.fixture(scope="session")
def spaceless_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained without a space, exported with all that PaddleOCR's configurations of training hold."""
    training = ("CTCLabelEncode", "RecAug", "RecConAug", "SARLabelEncode", "MultiLabelEncode", "KeepKeys", "ToCHWImage")
    operators = operators_of("RecResizeImg", *training, image_shape=[3, 48, 320])
    directory = tmp_path_factory.mktemp("models") / "spaceless"
    return write_paddle(directory, LETTERS, space=False, operators=operators)


@pytest.fixture(scope="session")
def old_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of PaddleOCR 2.x: no ``inference.yml``, and the dictionary beside the graph."""
    directory = write_paddle(tmp_path_factory.mktemp("models") / "en_rec_infer", LETTERS, config=False, old=True)
    if not (directory / "inference.pdmodel").is_file():
        pytest.skip("this Paddle does not write the old format")
    (directory / "en_dict.txt").write_text("\n".join(LETTERS) + "\n", "utf-8")
    return directory


@pytest.fixture(scope="session")
def bare_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file that says nothing, with its dictionary beside it."""
    file = write_onnx(tmp_path_factory.mktemp("models") / "bare" / "rec.onnx", LETTERS)
    (file.parent / "keys.txt").write_text("\n".join(LETTERS) + "\n", "utf-8")
    return file


@pytest.fixture(scope="session")
def stretching_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like those of SVTR: every line is stretched to the one width that the network takes."""
    operators = operators_of("SVTRRecResizeImg", image_shape=[3, 64, 256], padding=False)
    directory = tmp_path_factory.mktemp("models") / "svtr"
    write_onnx(directory / "inference.onnx", LETTERS, height=64, width=256, operators=operators, config=True)
    return directory


@pytest.fixture(scope="session")
def one_by_one_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes one line at a time."""
    directory = tmp_path_factory.mktemp("models") / "one"
    write_onnx(directory / "inference.onnx", LETTERS, batch=1, config=True)
    return directory


@pytest.fixture(scope="session")
def grey_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes images of one channel, and of half the usual height."""
    directory = tmp_path_factory.mktemp("models") / "grey"
    write_onnx(directory / "inference.onnx", LETTERS, channels=1, height=32, base=100, config=True)
    return directory
