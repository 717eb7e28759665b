"""PaddleOCR's label files and the images that they name."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import pytest

from ocrhpi.errors import OptionError
from ocrhpi.recognition.labels import Label, find_image, read_labels

if TYPE_CHECKING:
    from pathlib import Path


def written(folder: Path, content: bytes) -> Path:
    file = folder / "rec_gt.txt"
    file.write_bytes(content)
    return file


def test_order_repetitions_and_spaces_of_the_text_are_kept(tmp_path: Path) -> None:
    content = "\ufeffb.png\t two words \r\n\r\n a.png \t\nb.png\tother\u2028\n".encode()
    assert read_labels(written(tmp_path, content), "labels") == (
        Label("b.png", " two words ", 1),
        Label("a.png", "", 3),
        Label("b.png", "other\u2028", 4),
    )


def test_several_images_of_one_text(tmp_path: Path) -> None:
    content = b'["a.png", "sub/b.png"]\tone\n[1].png\ttwo\n'
    assert read_labels(written(tmp_path, content), "labels") == (
        Label("a.png", "one", 1),
        Label("sub/b.png", "one", 1),
        Label("[1].png", "two", 2),
    )


@pytest.mark.parametrize("row", ["a.png no tab", "a.png\tone\tother", "\tone", "[]\tone", '["a", 1]\tone', '[""]\tone'])
def test_malformed_lines_name_the_file_and_the_line(tmp_path: Path, row: str) -> None:
    file = written(tmp_path, f"fine.png\tfine\n{row}\n".encode())
    with pytest.raises(OptionError, match=r"rec_gt\.txt, line 2: received .*, expected one path") as caught:
        read_labels(file, "some_option")
    assert caught.value.name == "some_option"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="No such file"):
        read_labels(tmp_path / "none.txt", "labels")
    with pytest.raises(OptionError, match="expected a text file in UTF-8"):
        read_labels(written(tmp_path, b"a.png\t\xff"), "labels")


def test_an_image_is_found_whichever_system_wrote_its_label(tmp_path: Path) -> None:
    image = tmp_path / "sub" / "\u00e9.png"
    image.parent.mkdir()
    image.touch()
    for path in ("sub/\u00e9.png", "./sub\\e\u0301.png", str(image)):
        found = find_image(tmp_path, path)
        assert found is not None
        assert unicodedata.normalize("NFC", str(found)) == unicodedata.normalize("NFC", str(image))
    for path in ("sub", "gone.png", "x" * 5000, "a\0b"):
        assert find_image(tmp_path, path) is None
