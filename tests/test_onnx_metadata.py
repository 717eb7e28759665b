from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocrhpi.errors import ModelFormatError, ModelNotFound
from ocrhpi.model import load_model
from ocrhpi.onnx_metadata import read_onnx_metadata

if TYPE_CHECKING:
    from pathlib import Path


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def text(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def model(**metadata: str) -> bytes:
    """A ModelProto with a version, a producer, a "graph" of 300 bytes, and metadata."""
    graph = text(7, b"\x72" * 300)  # bytes that would read as metadata, were the graph not skipped
    props = b"".join(text(14, text(1, key.encode()) + text(2, value.encode())) for key, value in metadata.items())
    return varint(1 << 3) + varint(8) + text(2, b"test") + graph + props


def test_metadata_of_a_small_file(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model(character="a\n\u4f60\nb", model_name="mine"))
    assert read_onnx_metadata(path) == {"character": "a\n\u4f60\nb", "model_name": "mine"}
    read = load_model(path)
    assert read.name == "mine"
    assert read.vocabulary == ("a", "\u4f60", "b")


def test_real_file(v6_small_dir: Path) -> None:
    characters = read_onnx_metadata(v6_small_dir / "inference.onnx")["character"].split("\n")
    assert len(characters) == 18708
    assert characters[:3] == ["!", '"', "#"]


def test_an_onnx_file_without_vocabulary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model(author="x"))
    with pytest.raises(ModelFormatError, match=r"m\.onnx: metadata\.character: missing"):
        load_model(path)


def test_what_is_no_onnx_file(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    for content in (b"", b"\x00\x00\x00", b"hello world, this is text", model(a="b")[:-1], b"\xff" * 40):
        path.write_bytes(content)
        with pytest.raises(ModelFormatError, match=r"m\.onnx"):
            read_onnx_metadata(path)
    with pytest.raises(ModelNotFound):
        read_onnx_metadata(tmp_path / "none.onnx")
