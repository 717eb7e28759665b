"""Files of a request: what is read, and what is refused before it costs anything."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from PIL import Image

from ocrhpi.errors import RequestRefused
from ocrhpi.serving.images import read_files
from ocrhpi.serving.options import ServingOptions
from ocrhpi.serving.schema import DocumentInfo, ImageInfo, InferRequest
from tests.serving.fakes import encoded, png

if TYPE_CHECKING:
    from collections.abc import Sequence

OPTIONS = ServingOptions(max_images=4, max_pixels=100_000)


def read(*files: str, options: ServingOptions = OPTIONS, **fields: Any) -> Any:
    return read_files(InferRequest.model_validate({"files": list(files), **fields}), options)


def refused(*files: str, options: ServingOptions = OPTIONS, **fields: Any) -> str:
    with pytest.raises(RequestRefused) as refusal:
        read(*files, options=options, **fields)
    assert refusal.value.status == 422
    assert refusal.value.retry_after_s is None
    return str(refusal.value)


def pages(kind: str, sizes: Sequence[tuple[int, int]]) -> bytes:
    file = io.BytesIO()
    images = [Image.new("RGB", size, "white") for size in sizes]
    images[0].save(file, kind, save_all=True, append_images=images[1:])
    return file.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """Return a few bytes that announce an image of any size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\x00\x00\x00\x00IEND\xaeB`\x82"


@pytest.mark.parametrize(
    "wrap",
    [
        str,
        lambda text: f"data:image/png;base64,{text}",
        lambda text: "\n".join(text[start : start + 76] for start in range(0, len(text), 76)),
        lambda text: f" {text}\r\n",
    ],
    ids=["plain", "data URL", "MIME lines", "white space"],
)
def test_base64(wrap: Any) -> None:
    (file,) = read(wrap(encoded(png(60))))
    np.testing.assert_array_equal(file.lines[0].pixels, cv2.imdecode(np.frombuffer(png(60), np.uint8), 1))
    assert file.info == ImageInfo(width=60, height=48)


def test_files_keep_their_order_and_say_what_they_are() -> None:
    files = read(encoded(png(50)), encoded(pages("TIFF", [(30, 20), (40, 20)])), encoded(png(70, 10)))
    assert [[line.pixels.shape[:2] for line in file.lines] for file in files] == [
        [(48, 50)],
        [(20, 30), (20, 40)],
        [(10, 70)],
    ]
    assert [line.page_index for line in files[1].lines] == [0, 1]
    assert isinstance(files[1].info, DocumentInfo)
    assert (files[1].info.type, files[1].info.num_pages) == ("tiff", 2)


def test_a_pdf_is_its_pages() -> None:
    (file,) = read(encoded(pages("PDF", [(60, 20), (80, 20)])), fileType=None)
    assert isinstance(file.info, DocumentInfo)
    assert (file.info.type, file.info.num_pages) == ("pdf", 2)
    assert [(page.width, page.height) for page in file.info.pages] == [line.pixels.shape[1::-1] for line in file.lines]


def test_a_tiff_of_one_page_is_an_image() -> None:
    (file,) = read(encoded(pages("TIFF", [(30, 20)])), fileType=1)
    assert file.info == ImageInfo(width=30, height=20)


def test_the_type_of_a_file_is_checked_where_it_is_given() -> None:
    assert read(encoded(png(50)), fileType=1)
    assert read(encoded(pages("PDF", [(60, 20)])), fileType=0)
    assert "fileType is 0, but the content is an image" in refused(encoded(png(50)), fileType=0)
    assert "fileType is 1, but the content is a PDF" in refused(encoded(pages("PDF", [(60, 20)])), fileType=1)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("", "is empty"),
        ("!!!not base64!!!", "no base64"),
        ("QUJ", "no base64"),
        ("é" * 8, "no base64"),
        ("\ud800", "no base64"),
        ("data:image/png;base64", "is empty"),
        (encoded(b"just some text"), "is not an image"),
        (encoded(png(60)[:-40]), "cut off"),
        (encoded(png(60)[:20]), "header is damaged or cut off"),
        (encoded(b"%PDF-1.7 and nothing else"), "the PDF is damaged or has no pages"),
        (encoded(b"II*\x00garbage"), "TIFF is damaged"),
        (encoded(b"\xff\xd8\xff" + bytes(40)), "JPEG"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_reason(file: str, reason: str) -> None:
    message = refused(encoded(png(60)), file)
    assert message.startswith("files[1]: ")
    assert reason in message


def test_a_single_file_has_no_number() -> None:
    with pytest.raises(RequestRefused, match=r"^file: is empty"):
        read_files(InferRequest.model_validate({"file": ""}), OPTIONS)


@pytest.mark.parametrize("size", [(100_000, 100_000), (2**31 - 1, 2**31 - 1), (100_001, 1)])
def test_bombs_are_refused_by_their_header(size: tuple[int, int]) -> None:
    message = refused(encoded(png_that_claims(*size)))
    assert f"of {size[0]} x {size[1]}" in message
    assert "one may hold 100000" in message


def test_pixels_are_those_of_all_files_together() -> None:
    assert len(read(*[encoded(png(600))] * 3)) == 3
    assert refused(*[encoded(png(600))] * 4).startswith("files[3]: ")
    assert refused(encoded(pages("TIFF", [(300, 200), (300, 200)]))).startswith("files[0], page 1: ")


def test_pages_count_as_images() -> None:
    assert len(read(*[encoded(png(20))] * 4)) == 4
    assert "may hold 4 images and pages" in refused(encoded(png(20)), encoded(pages("PDF", [(20, 10)] * 4)))


def test_urls_are_off_and_paths_are_never_read(tmp_path: Any) -> None:
    (tmp_path / "a.png").write_bytes(png(60))
    assert "this server takes none" in refused("http://127.0.0.1:1/a.png")
    assert "no base64" in refused(str(tmp_path / "a.png"))
    assert "no base64" in refused(f"file://{tmp_path}/a.png")
