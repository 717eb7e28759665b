"""Files of data that may be anything."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ocrhpi import data_files
from ocrhpi.data_files import read_bounded, read_json


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\x00\r\n\xff")
    assert read_bounded(tmp_path / "a") == b"\x00\r\n\xff"


def test_a_file_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_files, "MAX_BYTES", 3 << 20)
    (tmp_path / "a").write_bytes(b" " * (3 << 20))
    assert len(read_bounded(tmp_path / "a")) == 3 << 20
    (tmp_path / "a").write_bytes(b" " * ((3 << 20) + 1))
    with pytest.raises(ValueError, match="longer than 3 MiB"):
        read_bounded(tmp_path / "a")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such device")
def test_a_device_without_an_end() -> None:
    with pytest.raises(ValueError, match="longer than 64 MiB"):
        read_bounded(Path("/dev/zero"))


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(OSError, match=path.name):
            read_bounded(path)
    with pytest.raises(ValueError, match="null byte"):
        read_bounded(tmp_path / "a\0b")


def test_json_of_both_kinds() -> None:
    for text in ('{"a": [1, 2.5, null, "[{,"]}', '["\\u00e9"]'):
        assert read_json(text) == read_json(text.encode())
    assert read_json('"é"'.encode("utf-16")) == "é"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ("[" + "[]," * 1_000_000 + "0]", "more than 2000000 values"),
        ("[1,", "Expecting value"),
        ("", "Expecting value"),
        ("9" * 100_000, "digits"),
    ],
    ids=lambda text: f"{text[:8]}x{len(text)}",
)
def test_json_that_is_none_or_too_much(text: str, problem: str) -> None:
    for data in (text, text.encode()):
        with pytest.raises(ValueError, match=problem):
            read_json(data)
    with pytest.raises(ValueError, match="utf-8"):
        read_json(b'"\xff"')
