from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from ocrhpi.batch.reading import fault_of, file_content, read_cell
from ocrhpi.errors import UnreadableInput
from ocrhpi.values import LineImage, UnreadableLine
from tests.batch.lines import pixels, png

if TYPE_CHECKING:
    from pathlib import Path


def line_of(cell: object) -> Any:
    line = read_cell(cell)
    assert isinstance(line, LineImage), fault_of(line)
    return line.pixels


def fault(cell: object) -> str:
    line = read_cell(cell)
    assert isinstance(line, UnreadableLine)
    return fault_of(line)


def test_whatever_holds_one_image_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png("a"))
    array = pixels("a")
    cells = [path, str(path), np.str_(path), png("a"), bytearray(png("a")), array, Image.fromarray(array[..., ::-1])]
    cells += [{"bytes": png("a"), "path": None}]
    for cell in cells:
        np.testing.assert_array_equal(line_of(cell), array)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (None, "is empty (null)"),
        (float("nan"), "is empty (null)"),
        ({"bytes": None, "path": "a.png"}, "is empty (null)"),
        (b"", "is empty (0 bytes)"),
        (b"GIF is not", "is not an image, a TIFF or a PDF; its content begins with b'GIF is not'"),
        (png("a")[:-20], "the PNG data is cut off; copy or download it again"),
        (3, "input of type builtins.int is not accepted; expected a path"),
        ([png("a")], "input of type builtins.list is not accepted"),
        (iter([png("a")]), "is not accepted"),
        (np.zeros((2, 3, 4, 5), np.uint8), "for several images pass a list"),
        (UnreadableInput("a.png", "is locked"), "is locked"),
        ("no\0path", "cannot be a path"),
    ],
)
def test_what_does_not_is_a_fault(cell: object, reason: str) -> None:
    assert reason in fault(cell)


def test_a_path_is_named_in_its_fault(tmp_path: Path) -> None:
    assert fault(tmp_path / "none.png") == f"{tmp_path / 'none.png'}: no such file or directory."
    assert fault(str(tmp_path)) == f"{tmp_path}: is a directory; expected the file of one line."
    pages = tmp_path / "two.tif"
    pictures = [Image.fromarray(pixels(text)) for text in "ab"]
    pictures[0].save(pages, save_all=True, append_images=pictures[1:])
    assert fault(pages) == f"{pages}: holds several pages; expected one line a row."
    assert fault(pages.read_bytes()) == "holds several pages; expected one line a row"
    pictures[0].save(pages)
    assert line_of(pages).shape == (48, 320, 3)


def test_a_fault_is_text_even_if_the_path_is_none() -> None:
    assert fault("gone \udcff.png") == "gone \\udcff.png: no such file or directory."


def test_the_content_of_a_file_takes_the_place_of_its_path(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"content")
    assert file_content(str(path)) == b"content"
    for cell in (b"bytes", None, "https://example.org/a.png"):
        assert file_content(cell) is cell
    for cell, reason in ((str(tmp_path), "is a directory"), (f"{path}x", "no such file"), ("a\0", "cannot be a path")):
        error = file_content(cell)
        assert isinstance(error, UnreadableInput)
        assert reason in str(error)
        assert reason in fault(error)


def test_mappings_are_not_only_dicts() -> None:
    assert "is empty" in fault(Counter())
