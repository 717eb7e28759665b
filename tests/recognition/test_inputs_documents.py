"""PDF and TIFF: one line image a page, in order, one page at a time, and faults page by page."""

from __future__ import annotations

import io
import struct
import threading
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pypdfium2
import pytest
from PIL import Image

from ocrhpi.errors import UnreadableInput
from ocrhpi.recognition.inputs import Limits, read_lines
from ocrhpi.values import LineImage, UnreadableLine

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.values import Pixels

ENCRYPTION = (
    b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <" + b"0f" * 32 + b"> /U <" + b"a5" * 32 + b"> >>"
)  # RC4 with 40 bits; the password is none that anybody knows, above all not the empty one


def pdf(
    fills: list[str], size: tuple[float, float] = (100, 40), *, form: bool = False, encrypted: bool = False
) -> bytes:
    """Write a PDF; each page is filled with one colour, given as the operands of `rg`."""
    width, height = size
    bodies: list[bytes] = [b"", b""]
    kids = []
    for fill in fills:
        content = f"{fill} rg 0 0 {width} {height} re f".encode()
        stream = f"<< /Length {len(content)} >>\nstream\n".encode() + content + b"\nendstream"
        annotations = f"/Annots [{2 * len(fills) + 3} 0 R]" if form else ""
        kids.append(f"{len(bodies) + 2} 0 R")
        bodies += [
            stream,
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width} {height}] "
            f"/Contents {len(bodies) + 1} 0 R {annotations} >>".encode(),
        ]
    field = len(bodies) + 1
    bodies[0] = b"<< /Type /Catalog /Pages 2 0 R" + (f" /AcroForm << /Fields [{field} 0 R] >>" if form else "").encode()
    bodies[0] += b" >>"
    bodies[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
    if form:
        drawing = b"0 0 0 rg 0 0 40 20 re f"
        bodies += [
            f"<< /Type /Annot /Subtype /Widget /FT /Tx /T (name) /F 4 /Rect [10 10 50 30] "
            f"/AP << /N {field + 1} 0 R >> >>".encode(),
            f"<< /Type /XObject /Subtype /Form /BBox [0 0 40 20] /Length {len(drawing)} >>\nstream\n".encode()
            + drawing
            + b"\nendstream",
        ]
    if encrypted:
        bodies.append(ENCRYPTION)
    return assembled(bodies, f"/Encrypt {len(bodies)} 0 R /ID [<00> <00>]" if encrypted else "")


def assembled(bodies: list[bytes], trailer: str) -> bytes:
    data = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(bodies, start=1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = len(data)
    data += f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n".encode()
    data += b"".join(f"{offset:010d} 00000 n \n".encode() for offset in offsets)
    data += f"trailer\n<< /Size {len(bodies) + 1} /Root 1 0 R {trailer} >>\nstartxref\n{table}\n%%EOF\n".encode()
    return bytes(data)


def tiff(frames: list[Image.Image], **options: Any) -> bytes:
    stream = io.BytesIO()
    frames[0].save(stream, "TIFF", save_all=True, append_images=frames[1:], **options)
    return stream.getvalue()


def read(source: Any, limits: Limits | None = None) -> list[LineImage | UnreadableLine]:
    return list(read_lines(source, limits or Limits()))


def pixels_of(line: LineImage | UnreadableLine) -> Pixels:
    assert isinstance(line, LineImage), line
    assert line.pixels.dtype == np.uint8
    assert line.pixels.flags.c_contiguous
    return line.pixels


def reason_of(line: LineImage | UnreadableLine) -> str:
    assert isinstance(line, UnreadableLine)
    assert isinstance(line.error, UnreadableInput)
    assert line.error.page_index == line.page_index
    return str(line.error)


COLOURS = ["1 0 0", "0 1 0", "0 0 1"]  # red, green, blue
BGR = [[0, 0, 255], [0, 255, 0], [255, 0, 0]]


# ------------------------------------------------------------------ PDF


@pytest.mark.parametrize("name", ["doc.pdf", "doc.PDF", "doc.bin", "doc"])
def test_pdf_gives_its_pages_in_bgr_at_scale_2(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(pdf(COLOURS, (100.2, 41)))
    lines = read(path)
    assert [pixels_of(line)[30, 30].tolist() for line in lines] == BGR
    assert [line.page_index for line in lines] == [0, 1, 2]
    assert {line.input_path for line in lines} == {str(path)}
    assert pixels_of(lines[0]).shape == (82, 201, 3)


def test_pdf_from_bytes_also_after_leading_junk() -> None:
    for data in (pdf(COLOURS), b"\xef\xbb\xbf" + pdf(COLOURS)):
        assert [pixels_of(line)[5, 5].tolist() for line in read(data)] == BGR


def test_pdf_pages_do_not_change_when_the_next_is_rendered() -> None:
    lines = read_lines(pdf(COLOURS))
    first = pixels_of(next(lines))
    kept = first.copy()
    next(lines)
    assert np.array_equal(first, kept)


def test_pdf_scale_is_an_option() -> None:
    (line,) = read(pdf(["1 0 0"]), Limits(pdf_scale=1.5))
    assert pixels_of(line).shape == (60, 150, 3)


def test_pdf_form_fields_are_drawn() -> None:
    (line,) = read(pdf(["1 1 1"], form=True))
    # The field lies at 10..50 from the left and 10..30 from the bottom, at scale 2.
    assert pixels_of(line)[40, 60].max() < 128
    assert pixels_of(line)[40, 150].min() == 255


def test_pdf_page_beyond_the_limit_is_rendered_coarser_until_half_scale() -> None:
    data = pdf(["0 1 0"], (100, 40))
    for max_pixels in (15_999, 9_000, 4_003, 1_080):
        (line,) = read(data, Limits(max_pixels=max_pixels))
        height, width, _ = pixels_of(line).shape
        assert 0.9 * max_pixels - 150 < height * width <= max_pixels
        assert pixels_of(line)[height // 2, width // 2].tolist() == [0, 255, 0]
    (line,) = read(data, Limits(max_pixels=16_000))
    assert pixels_of(line).shape == (80, 200, 3)
    (line,) = read(data, Limits(max_pixels=999))
    assert "even at scale 0.5; raise the option max_pixels" in reason_of(line)
    assert line.page_index == 0
    assert isinstance(read(data, Limits(max_pixels=999, pdf_scale=0.25))[0], LineImage)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pdf(COLOURS, encrypted=True), "needs a password"),
        (pdf([]), "damaged or has no pages"),
        (b"%PDF-1.7\n nothing of the kind", "damaged or has no pages"),
        (pdf(COLOURS)[:60], "damaged or has no pages"),
    ],
)
def test_pdf_that_cannot_be_opened(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "doc.pdf").write_bytes(data)
    for source in (data, tmp_path / "doc.pdf"):
        (line,) = read(source)
        assert words in reason_of(line)
        assert line.page_index is None


def test_pdf_page_that_cannot_be_loaded_stands_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    load = pypdfium2.PdfDocument.__getitem__

    def fail_at_1(document: Any, index: int) -> Any:
        if index == 1:
            raise pypdfium2.PdfiumError("Failed to load page.")
        return load(document, index)

    monkeypatch.setattr(pypdfium2.PdfDocument, "__getitem__", fail_at_1)
    lines = read(pdf(COLOURS))
    assert [isinstance(line, LineImage) for line in lines] == [True, False, True]
    assert [line.page_index for line in lines] == [0, 1, 2]
    assert "page 1: the page is damaged (Failed to load page)" in reason_of(lines[1])


@pytest.fixture
def closings(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Count what pypdfium2 opens and closes."""
    counts = {"open": 0, "closed": 0, "rendered": 0}
    init, close = pypdfium2.PdfDocument.__init__, pypdfium2.PdfDocument.close
    render = pypdfium2.PdfPage.render

    def counting_init(self: Any, *args: Any, **options: Any) -> None:
        counts["open"] += 1
        init(self, *args, **options)

    def counting_close(self: Any, *args: Any) -> Any:
        counts["closed"] += 1
        return close(self, *args)

    def counting_render(self: Any, *args: Any, **options: Any) -> Any:
        counts["rendered"] += 1
        return render(self, *args, **options)

    monkeypatch.setattr(pypdfium2.PdfDocument, "__init__", counting_init)
    monkeypatch.setattr(pypdfium2.PdfDocument, "close", counting_close)
    monkeypatch.setattr(pypdfium2.PdfPage, "render", counting_render)
    return counts


def test_abandoned_pdf_is_closed_and_no_page_is_rendered_ahead(tmp_path: Path, closings: dict[str, int]) -> None:
    (tmp_path / "doc.pdf").write_bytes(pdf(COLOURS))
    lines = read_lines([tmp_path / "doc.pdf", tmp_path])
    next(lines)
    assert closings == {"open": 1, "closed": 0, "rendered": 1}
    del lines
    assert closings == {"open": 1, "closed": 1, "rendered": 1}


def test_pdfs_can_be_read_by_many_threads() -> None:
    """PDFium crashes, or mixes pages up, where two threads are inside it."""
    data = pdf(COLOURS * 5)
    seen: list[list[list[int]]] = []

    def work() -> None:
        seen.append([pixels_of(line)[5, 5].tolist() for line in read(data)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [BGR * 5] * 4


def test_other_pdfs_can_be_read_while_a_page_is_with_the_consumer() -> None:
    lines = read_lines(pdf(COLOURS))
    next(lines)
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(len(read(pdf(COLOURS)))), daemon=True)
    thread.start()
    thread.join(timeout=10)
    assert seen == [3]
    assert len(list(lines)) == 2


# ------------------------------------------------------------------ TIFF


def solid(colour: tuple[int, int, int], size: tuple[int, int] = (30, 12)) -> Image.Image:
    return Image.new("RGB", size, colour)


FRAMES = [solid((255, 0, 0)), solid((0, 255, 0), (20, 8)), solid((0, 0, 255), (40, 9))]


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("name", ["scan.tif", "scan.bin"])
def test_tiff_gives_its_frames_in_bgr(tmp_path: Path, compression: str, name: str) -> None:
    data = tiff(FRAMES, compression=compression)
    (tmp_path / name).write_bytes(data)
    for source in (data, tmp_path / name):
        lines = read(source)
        assert [pixels_of(line)[4, 4].tolist() for line in lines] == BGR
        assert [pixels_of(line).shape for line in lines] == [(12, 30, 3), (8, 20, 3), (9, 40, 3)]
        assert [line.page_index for line in lines] == [0, 1, 2]


def test_frames_of_equal_size_do_not_share_memory() -> None:
    frames = [Image.new("RGB", (9, 9), (value, value, value)) for value in (10, 20, 30)]
    for options in ({}, {"compression": "tiff_lzw"}):
        lines = read(tiff(frames, **options))
        assert [int(pixels_of(line)[0, 0, 0]) for line in lines] == [10, 20, 30]


def test_single_frame_has_page_index_0() -> None:
    (line,) = read(tiff([FRAMES[0]]))
    assert line.page_index == 0


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "LA"])
def test_tiff_modes(mode: str) -> None:
    x = np.arange(200, dtype=np.uint8)
    image = Image.fromarray(np.stack([np.tile(x, (20, 1)), np.tile(x[::-1], (20, 1)), np.tile(x, (20, 1))], axis=-1))
    image = image.convert(mode)
    (line,) = read(tiff([image]))
    assert np.array_equal(pixels_of(line), np.asarray(image.convert("RGB"))[..., ::-1])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".tif"])
def test_16_bit_tiff_is_cut_not_saturated(channels: int, suffix: str) -> None:
    values = np.arange(0, 65536, 64, dtype=np.uint16).reshape(16, 64)
    values = np.stack([values] * channels, axis=-1)
    ok, data = cv2.imencode(suffix, values)
    assert ok
    (line,) = read(data.tobytes())
    assert np.array_equal(pixels_of(line)[..., 0], values[..., 0] >> 8)


def test_float_frame_is_refused_in_its_place() -> None:
    frames = [
        Image.new("L", (5, 5), 1),
        Image.new("F", (5, 5)),
        Image.new("I", (5, 5)),
        Image.new("L", (5, 5), 4),
    ]
    lines = read(tiff(frames))
    assert [isinstance(line, LineImage) for line in lines] == [True, False, False, True]
    assert "bytes number 0, page 1: its pixels are float" in reason_of(lines[1])
    assert "page 2: its pixels are 32-bit integer" in reason_of(lines[2])


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_tiff_orientation_is_applied_once(compression: str) -> None:
    image = Image.new("RGB", (30, 12))
    image.paste((255, 0, 0), (0, 0, 3, 3))
    stream = io.BytesIO()
    image.save(stream, "TIFF", compression=compression, tiffinfo={274: 6})
    (line,) = read(stream.getvalue())
    assert pixels_of(line).shape == (30, 12, 3)
    assert pixels_of(line)[0, -1].tolist() == [0, 0, 255]  # turned clockwise: left top is now right top
    with Image.open(stream) as opened:
        (same,) = read(opened)
        assert np.array_equal(pixels_of(same), pixels_of(line))


def test_tiff_bomb_is_refused_before_it_is_decoded() -> None:
    data = bytearray(tiff([Image.new("L", (8, 8)), FRAMES[0]], compression="tiff_lzw"))
    for tag in (256, 257):
        entry = data.index(struct.pack("<HHI", tag, 4 if struct.pack("<HHI", tag, 4, 1) in data else 3, 1))
        data[entry : entry + 12] = struct.pack("<HHII", tag, 4, 1, 100_000)
    lines = read(bytes(data))
    assert "page 0: 100000 x 100000 = 10000000000 pixels are more than the limit" in reason_of(lines[0])
    assert pixels_of(lines[1]).shape == (12, 30, 3)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_cut_off_tiff_frame_is_refused(compression: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64), dtype=np.uint8)
    data = tiff([Image.fromarray(noise)], compression=compression)
    for share in (0.05, 0.5, 0.9):
        (line,) = read(data[: int(len(data) * share)])
        assert isinstance(line, UnreadableLine)


def test_frames_before_a_broken_link_are_read() -> None:
    data = tiff(FRAMES)
    lines = read(data[: len(data) - 200])
    assert pixels_of(lines[0]).shape == (12, 30, 3)
    assert isinstance(lines[-1], UnreadableLine)


@pytest.mark.parametrize("data", [b"II*\x00", b"II*\x00\xff\xff\xff\x7f", b"MM\x00*\x00\x00\x00\x08" + b"\xff" * 40])
def test_tiff_without_a_sound_directory(data: bytes) -> None:
    (line,) = read(data)
    assert isinstance(line, UnreadableLine)
    assert "damaged" in reason_of(line)


def test_file_is_closed_when_the_walk_is_abandoned(tmp_path: Path) -> None:
    """An open file would be reported as a ResourceWarning, which is an error here."""
    path = tmp_path / "scan.tif"
    path.write_bytes(tiff(FRAMES))
    lines = read_lines([path, path])
    next(lines)
    next(lines)
    lines.close()  # type: ignore[attr-defined]
    assert list(lines) == []
