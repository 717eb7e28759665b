"""Partly transparent images: on a ground from which they stand out, the same whichever way they come; and told."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from PIL import Image

from ocrhpi.recognition import decoding
from ocrhpi.recognition.decoding import on_contrasting_ground
from ocrhpi.recognition.inputs import read_lines
from ocrhpi.values import LineImage
from tests.recognition.test_inputs_images import chunk, imdecode, pixels_of, saved

if TYPE_CHECKING:
    import numpy.typing as npt

    from ocrhpi.values import Pixels

    Bgra = npt.NDArray[np.uint8]

GENERATOR = np.random.default_rng(11)
TURNED = Image.Exif()
TURNED[0x0112] = 6


def lettering(ink: int, colour: int = 0) -> Bgra:
    """Bars of one grey with soft edges, BGRA, on a transparent ground of a stored colour that must not show."""
    soft = np.array([0, 0, 64, 128, 200, 255, 255, 255, 191, 127, 1, 0], np.uint8)
    bgra = np.full((12, 36, 4), colour, np.uint8)
    bgra[..., 3] = np.tile(soft, (12, 3))
    bgra[:3, :, 3] = 0  # not the same when turned
    bgra[bgra[..., 3] > 0, :3] = ink
    return bgra


def on_ground(bgra: Bgra, ground: int) -> Pixels:
    alpha = bgra[..., 3:] / 255
    return np.rint(bgra[..., :3] * alpha + ground * (1 - alpha)).astype(np.uint8)


def pil(bgra: Bgra) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(bgra[..., [2, 1, 0, 3]]))


def noise(alpha: int | None = None, *, below: int = 256) -> Bgra:
    bgra = GENERATOR.integers(0, below, (13, 21, 4), dtype=np.uint8)
    bgra[..., 3] = GENERATOR.integers(0, 256, (13, 21)) if alpha is None else alpha
    return bgra


def png(depth: int, kind: int, rows: list[bytes], width: int, transparent: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, len(rows), depth, kind, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\x00" + row for row in rows))
    chunks = chunk(b"IHDR", header) + chunk(b"tRNS", transparent) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def palette_image() -> Image.Image:
    image = pil(noise()).convert("RGB").quantize(16)
    image.info["transparency"] = bytes(range(0, 256, 16))
    return image


def encoded(suffix: str, bgra: npt.NDArray[Any]) -> bytes:
    return cv2.imencode(suffix, bgra)[1].tobytes()


DEEP = GENERATOR.integers(0, 65536, (13, 21, 4), dtype=np.uint16)
FRAMES: dict[str, Any] = {"save_all": True, "append_images": [pil(noise())], "duration": 100}
LOSSLESS: dict[str, Any] = {"lossless": True, "exact": True}

TRANSPARENT = {
    "png black": saved(pil(lettering(0)), "PNG"),
    "png white": saved(pil(lettering(255, 255)), "PNG"),
    "png": saved(pil(noise()), "PNG"),
    "png turned": saved(pil(noise()), "PNG", exif=TURNED),
    "png black turned": saved(pil(lettering(0)), "PNG", exif=TURNED),
    "png 16 bit": encoded(".png", DEEP),
    "png grey": saved(pil(noise()).convert("LA"), "PNG"),
    "png grey 16 bit": png(16, 4, [GENERATOR.bytes(84) for _ in range(5)], 21, b""),
    "png palette": saved(palette_image(), "PNG"),
    "png transparent index": saved(pil(noise()).convert("RGB").quantize(16), "PNG", transparency=3),
    "png transparent grey": png(8, 0, [bytes([0, 9, 255, 9])], 4, b"\x00\x09"),
    "png transparent grey, 1 bit": png(1, 0, [b"\xa5"], 8, b"\x00\x01"),
    "png transparent grey, 2 bit": png(2, 0, [b"\x1b"], 4, b"\x00\x02"),
    "png transparent grey, 4 bit": png(4, 0, [b"\x0f\xf5"], 4, b"\x00\x05"),
    "png transparent grey, 16 bit": png(16, 0, [b"\x12\x34\x56\x78"], 2, b"\x12\x34"),
    "png transparent colour": png(8, 2, [bytes([1, 2, 3, 1, 2, 9])], 2, b"\x00\x01\x00\x02\x00\x03"),
    "png transparent colour, 16 bit": png(16, 2, [bytes([1, 2, 3, 4, 5, 6, 9, 2, 3, 4, 5, 6])], 2, bytes(range(1, 7))),
    "apng": saved(pil(noise()), "PNG", **FRAMES),
    "webp": saved(pil(noise()), "WEBP", **LOSSLESS),
    "webp extended": saved(pil(noise()), "WEBP", icc_profile=b"profile", **LOSSLESS),
    "webp lossy": saved(pil(noise()), "WEBP", quality=80),
    "webp turned": saved(pil(noise()), "WEBP", exif=TURNED, **LOSSLESS),
    "webp animated": saved(pil(noise()), "WEBP", lossless=True, **FRAMES),
    "gif": saved(pil(noise()).convert("RGB").quantize(16), "GIF", transparency=3),
    "bmp": encoded(".bmp", noise()),
    "jpeg 2000": saved(pil(noise()), "JPEG2000"),
    "jpeg 2000 grey": saved(pil(noise()).convert("LA"), "JPEG2000"),
}
SAME_ALPHA = {
    f"{name}, alpha {alpha}": data
    for alpha in (0, 255)
    for name, data in {
        "png": saved(pil(noise(alpha)), "PNG"),
        "png turned": saved(pil(noise(alpha)), "PNG", exif=TURNED),
        "png grey": saved(pil(noise(alpha)).convert("LA"), "PNG"),
        "png 16 bit": encoded(".png", np.dstack([DEEP[..., :3], np.full((13, 21), alpha * 257, np.uint16)])),
        "png palette": saved(pil(noise(alpha)).convert("P"), "PNG", transparency=bytes([alpha] * 256)),
        "webp": saved(pil(noise(alpha)), "WEBP", **LOSSLESS),
        "bmp": encoded(".bmp", noise(alpha)),
        "jpeg 2000": saved(pil(noise(alpha)), "JPEG2000"),
    }.items()
}
OPENCV_MAY_LACK = {"apng", "webp animated", "gif"}  # before 4.11


def unturned(data: bytes) -> Bgra:
    """What Pillow says of an image with an alpha of 8 bits."""
    with Image.open(io.BytesIO(data)) as image:
        return np.ascontiguousarray(np.asarray(image.convert("RGBA"))[..., [2, 1, 0, 3]])


@pytest.fixture(autouse=True)
def no_ground_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_grounds", itertools.count())


# ------------------------------------------------------------------ the ground


@pytest.mark.parametrize(
    ("ink", "colour", "ground"),
    [(0, 0, 255), (0, 255, 255), (127, 0, 255), (128, 0, 0), (255, 255, 0), (255, 0, 0)],
)
def test_what_is_visible_stands_out(ink: int, colour: int, ground: int) -> None:
    bgra = lettering(ink, colour)
    expected = on_ground(bgra, ground)
    assert np.array_equal(pixels_of(bgra), expected)
    assert np.array_equal(pixels_of(pil(bgra)), expected)
    assert np.array_equal(pixels_of(saved(pil(bgra), "PNG")), expected)
    assert np.array_equal(pixels_of(saved(pil(bgra), "WEBP", **LOSSLESS)), expected)
    assert np.array_equal(pixels_of(saved(pil(bgra), "TIFF")), expected)


@pytest.mark.parametrize(("bgr", "ground"), [((255, 0, 0), 255), ((0, 255, 0), 0), ((0, 0, 255), 255)])
def test_brightness_is_that_of_the_eye(bgr: tuple[int, int, int], ground: int) -> None:
    bgra = np.array([[[*bgr, 255], [0, 0, 0, 0]]], np.uint8)
    assert pixels_of(bgra).tolist() == [[list(bgr), [ground] * 3]]


def test_faint_pixels_count_little() -> None:
    bgra = np.array([[[0, 0, 0, 255], *[[255, 255, 255, 50]] * 5]], np.uint8)
    assert pixels_of(bgra)[0, 1].tolist() == [255, 255, 255]  # 250 of 505 are bright
    bgra[0, 5, 3] = 56
    assert pixels_of(bgra)[0, 1].tolist() == [50, 50, 50]  # 256 of 511


@pytest.mark.parametrize("ground", [0, 255])
def test_every_colour_at_every_alpha_is_rounded_to_the_nearest(ground: int) -> None:
    value, alpha = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    bgr = np.stack([value] * 3, axis=-1)
    weight = np.full((256, 1), 255, np.uint8)  # brings the mean to the side that is wanted
    bgr = np.hstack([bgr, *[np.full((256, 1, 3), 255 - ground, np.uint8)] * 90])
    alpha = np.hstack([alpha, *[weight] * 90])
    assert np.array_equal(on_contrasting_ground(bgr, alpha, "all"), on_ground(np.dstack([bgr, alpha]), ground))


# ------------------------------------------------------------------ the ways in


@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparent_image_is_that_of_pillow_on_its_ground(name: str) -> None:
    (line,) = read_lines(TRANSPARENT[name])
    if not isinstance(line, LineImage):
        assert name in OPENCV_MAY_LACK
        return
    with Image.open(io.BytesIO(TRANSPARENT[name])) as image:
        depth_is_told = not name.endswith(("2 bit", "4 bit"))  # else Pillow gives a colour that does not occur
        assert np.array_equal(pixels_of(image), line.pixels) == depth_is_told
    if not name.startswith("png transparent grey") and not name.endswith("16 bit"):
        bgra = unturned(TRANSPARENT[name])
        bgra = np.rot90(bgra, -1) if name.endswith("turned") else bgra
        assert any(np.array_equal(line.pixels, on_ground(bgra, ground)) for ground in (0, 255))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("png transparent grey", [0, 255, 255, 255]),
        ("png transparent grey, 1 bit", [255, 0, 255, 0, 0, 255, 0, 255]),
        ("png transparent grey, 2 bit", [0, 85, 255, 255]),
        ("png transparent grey, 4 bit", [0, 255, 255, 0]),
        ("png transparent grey, 16 bit", [255, 0x56]),
        ("png transparent colour, 16 bit", [255, 5]),
    ],
)
def test_transparent_colour(name: str, values: list[int]) -> None:
    assert pixels_of(TRANSPARENT[name])[0, :, 0].tolist() == values


@pytest.mark.parametrize("name", SAME_ALPHA)
def test_image_of_one_alpha_is_what_imdecode_gives(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "ocrhpi")
    expected = imdecode(SAME_ALPHA[name])
    assert np.array_equal(pixels_of(SAME_ALPHA[name]), expected)
    with Image.open(io.BytesIO(SAME_ALPHA[name])) as image:
        assert np.array_equal(pixels_of(image), expected)
    assert not caplog.records


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bit_array_with_alpha_equals_the_16_bit_file(order: str) -> None:
    assert np.array_equal(pixels_of(DEEP.astype(order)), pixels_of(TRANSPARENT["png 16 bit"]))
    assert np.array_equal(pixels_of(DEEP.astype(order)), pixels_of((DEEP >> 8).astype(np.uint8)))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "La", "RGBa"])
def test_pil_modes_with_alpha(mode: str) -> None:
    image = pil(lettering(0))
    if mode in {"La", "PA"}:
        image = image.convert("LA" if mode == "La" else "P").convert(mode)
        if mode == "PA":
            image.putalpha(pil(lettering(0)).getchannel("A"))
    image = image.convert(mode)
    assert np.array_equal(pixels_of(image), on_ground(lettering(0), 255))
    assert image.mode == mode


def test_pil_palettes() -> None:
    image = palette_image()
    assert np.array_equal(pixels_of(image), pixels_of(pil(unturned(saved(image, "PNG")))))
    with_alpha = pil(noise()).quantize(16)  # its palette holds RGBA
    assert np.array_equal(pixels_of(with_alpha), pixels_of(with_alpha.convert("RGBA")))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_tiff_pages(mode: str, caplog: pytest.LogCaptureFixture) -> None:
    frames = [pil(lettering(ink)).convert(mode) for ink in (0, 255)]
    data = saved(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    caplog.set_level("DEBUG", "ocrhpi")
    pages = [line.pixels for line in read_lines(data) if isinstance(line, LineImage)]
    assert len(pages) == 2
    assert np.array_equal(pages[0], on_ground(lettering(0), 255))
    assert np.array_equal(pages[1], on_ground(lettering(255), 0))
    assert "bytes number 0, page 1: a black ground" in caplog.messages[1]


# ------------------------------------------------------------------ told


def test_first_ground_is_told_at_level_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "ocrhpi")
    list(read_lines([lettering(0), saved(pil(lettering(255)), "PNG"), noise(255)]))
    assert [record.levelname for record in caplog.records] == ["WARNING", "DEBUG"]
    assert {record.name for record in caplog.records} == {"ocrhpi"}
    assert caplog.messages[0].startswith("array number 0: a white ground was put under its transparent pixels")
    assert caplog.messages[1] == "bytes number 1: a black ground was put under its transparent pixels"


def test_alpha_that_pillow_cannot_read_is_told(caplog: pytest.LogCaptureFixture) -> None:
    data = TRANSPARENT["png turned"]
    at = data.index(b"eXIf")
    length = int.from_bytes(data[at - 4 : at], "big")
    broken = data[: at + 4 + length] + b"\x00\x00\x00\x00" + data[at + 8 + length :]  # a checksum OpenCV lets pass
    assert np.array_equal(pixels_of(broken), imdecode(broken))
    assert "its transparency is ignored" in caplog.text


def test_damaged_transparency_is_no_crash() -> None:
    for kind, body in itertools.product((0, 2, 3), (b"", b"\x00")):
        list(read_lines(png(8, kind, [bytes(12)], 4, body)))
    list(read_lines(png(0, 0, [bytes(12)], 4, b"\x00\x00")))
    list(read_lines(b"GIF89a\x01\x00\x01\x00\x00\x00\x00!\xf9\x04"))
