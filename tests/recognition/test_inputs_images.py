"""Single images, arrays and PIL images: equal pixels whichever way they come, and refusals that tell the cure."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from PIL import Image

from ocrhpi.errors import UnreadableInput
from ocrhpi.recognition.inputs import Limits, read_lines
from ocrhpi.values import LineImage, UnreadableLine

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.values import Pixels

GENERATOR = np.random.default_rng(7)


def picture(height: int = 40, width: int = 90) -> Pixels:
    """Smooth colours with a different value at every corner, so that turns and swapped channels show."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [255 * x / width, 255 * y / height, 127 + 100 * np.sin(x / 9)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def rgb(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels[..., ::-1]))


def saved(image: Image.Image, name: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, name, **options)
    return stream.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def imdecode(data: bytes) -> Pixels:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels.astype(np.uint8, copy=False)


def pixels_of(source: Any) -> Pixels:
    (line,) = read_lines(source)
    assert isinstance(line, LineImage), line
    assert line.pixels.dtype == np.uint8
    assert line.pixels.ndim == 3
    assert line.pixels.shape[2] == 3
    return line.pixels


def refusal(source: Any, limits: Limits | None = None) -> str:
    (line,) = read_lines(source, limits or Limits())
    assert isinstance(line, UnreadableLine)
    assert isinstance(line.error, UnreadableInput)
    return str(line.error)


DEEP = GENERATOR.integers(0, 65536, (12, 17, 3), dtype=np.uint16)
FRAMES = [Image.new("RGB", (30, 12), (value, 0, 0)) for value in (200, 100, 50)]
ANIMATION: dict[str, Any] = {"save_all": True, "append_images": FRAMES[1:], "duration": 100}


def variants() -> dict[str, bytes]:
    """Encoded images that OpenCV and Pillow both read, of every kind that is special in some way."""
    image = rgb(picture())
    exif = Image.Exif()
    exif[0x0112] = 6  # camera held upright: the stored picture must be turned by 90 degrees
    transparent = image.quantize(16)
    transparent.info["transparency"] = bytes(range(16))
    return {
        "png": saved(image, "PNG"),
        "png grey": saved(image.convert("L"), "PNG"),
        "png 1 bit": saved(image.convert("1"), "PNG"),
        "png grey alpha": saved(image.convert("LA"), "PNG"),
        "png alpha": saved(Image.merge("RGBA", [*image.split(), image.convert("L")]), "PNG"),
        "png palette": saved(image.quantize(16), "PNG"),
        "png palette transparent": saved(transparent, "PNG"),
        "png 16 bit": cv2.imencode(".png", DEEP)[1].tobytes(),
        "png 16 bit grey": cv2.imencode(".png", DEEP[..., 0])[1].tobytes(),
        "png followed by something": saved(image, "PNG") + b"trailing",
        "apng": saved(FRAMES[0], "PNG", **ANIMATION),
        "jpeg": saved(image, "JPEG", quality=95),
        "jpeg grey": saved(image.convert("L"), "JPEG"),
        "jpeg progressive": saved(image, "JPEG", progressive=True, quality=95),
        "jpeg turned": saved(image, "JPEG", exif=exif, quality=95),
        "jpeg cmyk": saved(image.convert("CMYK"), "JPEG", quality=95),
        "jpeg followed by something": saved(image, "JPEG", quality=95) + b"\xff\xda trailing",
        "webp": saved(image, "WEBP", quality=90),
        "webp lossless": saved(image, "WEBP", lossless=True),
        "webp alpha": saved(image.convert("RGBA"), "WEBP", lossless=True, exact=True),
        "bmp": saved(image, "BMP"),
        "bmp palette": saved(image.quantize(16), "BMP"),
        "ppm": saved(image, "PPM"),
        "pgm": saved(image.convert("L"), "PPM"),
        "pgm 16 bit": cv2.imencode(".pgm", DEEP[..., 0])[1].tobytes(),
        "pbm": saved(image.convert("1"), "PPM"),
        "ppm ascii with comment": b"P3\n# a comment\n2 1\n255\n1 2 3 4 5 6\n",
        "sun raster": cv2.imencode(".ras", picture())[1].tobytes(),
        "jpeg 2000": cv2.imencode(".jp2", picture())[1].tobytes(),
        "1 pixel": saved(image.resize((1, 1)), "PNG"),
        "1 row": saved(image.resize((300, 1)), "PNG"),
        "1 column": saved(image.resize((1, 300)), "PNG"),
        "very wide": saved(image.resize((20000, 4)), "PNG"),
    }


VARIANTS = variants()
LOSSY = {"jpeg", "jpeg grey", "jpeg progressive", "jpeg turned", "jpeg cmyk", "webp"}
LOSSY |= {"jpeg followed by something"}
PARTLY_TRANSPARENT = {"png alpha", "png palette transparent"}  # in test_inputs_transparency, what they become


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in PARTLY_TRANSPARENT])
def test_encoded_image_is_what_imdecode_gives(name: str, tmp_path: Path) -> None:
    data = VARIANTS[name]
    expected = imdecode(data)
    (tmp_path / "image").write_bytes(data)
    assert np.array_equal(pixels_of(data), expected)
    assert np.array_equal(pixels_of(tmp_path / "image"), expected)


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "jpeg 2000"])
def test_pil_image_of_a_file_gives_the_pixels_of_the_file(name: str) -> None:
    with Image.open(io.BytesIO(VARIANTS[name])) as image:
        mode = image.mode
        difference = np.abs(pixels_of(image).astype(int) - pixels_of(VARIANTS[name]))
        assert image.mode == mode  # the caller's image is left as it was
    # Two builds of a lossy decoder, or two formulas for CMYK, may round differently.
    assert difference.max() <= (3 if name in LOSSY else 0)


def test_turned_photo_stands_upright() -> None:
    assert pixels_of(VARIANTS["jpeg turned"]).shape == (90, 40, 3)
    assert pixels_of(VARIANTS["jpeg"]).shape == (40, 90, 3)


@pytest.mark.parametrize("name", ["PNG", "WEBP", "GIF"])
def test_first_frame_of_an_animation(name: str) -> None:
    data = saved(FRAMES[0], name, **ANIMATION, **({"lossless": True} if name == "WEBP" else {}))
    if cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is None:
        assert "animations need 4.11" in refusal(data)
    else:
        assert pixels_of(data)[6, 15].tolist() == [0, 0, 200]


# ------------------------------------------------------------------ damage


@pytest.mark.parametrize("name", ["png", "png 16 bit", "jpeg", "jpeg progressive", "jpeg turned", "webp", "bmp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95, 0.999])
def test_cut_off_file_is_refused(name: str, share: float) -> None:
    data = VARIANTS[name]
    text = refusal(data[: int(len(data) * share)])
    assert "cut off" in text or "is not an image" in text


@pytest.mark.parametrize("name", VARIANTS)
def test_no_cut_is_a_crash(name: str) -> None:
    data = VARIANTS[name]
    for length in (1, 3, 8, 12, 17, 20, 24, 30, 50):
        (line,) = read_lines(data[: min(length, len(data) // 2)])
        assert isinstance(line, UnreadableLine)


def test_thumbnail_within_a_cut_off_photo_does_not_hide_the_cut() -> None:
    exif = b"Exif\x00\x00" + saved(rgb(picture(8, 8)), "JPEG")  # ends with an end-of-image marker of its own
    data = saved(rgb(picture()), "JPEG", exif=exif)
    assert pixels_of(data).shape == (40, 90, 3)
    assert "the JPEG data is cut off" in refusal(data[:-40])


def test_damage_within_the_data_is_refused() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"no zlib stream") + chunk(b"IEND", b"")
    assert "cannot decode this PNG" in refusal(data)


def test_other_containers_are_named() -> None:
    assert "convert the image to PNG" in refusal(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(50))
    assert "begins with b'<!DOCTYPE html>'" in refusal(b"<!DOCTYPE html>")


# ------------------------------------------------------------------ bombs


def bombs() -> dict[str, bytes]:
    """A few bytes each that ask for 10,000,000,000 pixels (GIF, WebP: as many as they can)."""
    side = 100_000
    rows = zlib.compress(bytes(1000))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    jpeg = bytearray(saved(Image.new("L", (8, 8)), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    bmp = bytearray(saved(Image.new("RGB", (8, 8)), "BMP"))
    bmp[18:26] = struct.pack("<ii", side, -side)
    webp = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\xff\x00\xff\xff\x00"
    jp2 = bytearray(cv2.imencode(".jp2", picture())[1].tobytes())
    size = jp2.index(b"\xff\x4f\xff\x51")
    jp2[size + 8 : size + 16] = struct.pack(">II", side, side)
    return {
        "PNG": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""),
        "JPEG": bytes(jpeg),
        "BMP": bytes(bmp),
        "GIF": b"GIF89a\xff\xff\xff\xff" + bytes(20),
        "PPM": b"P6\n100000 100000\n255\n" + bytes(20),
        "Sun": struct.pack(">IIII", 0x59A66A95, side, side, 24) + bytes(32),
        "WebP": b"RIFF" + struct.pack("<I", len(webp) + 4) + b"WEBP" + webp,
        "JPEG 2000": bytes(jp2),
        "AVIF": b"\x00\x00\x00\x14ftypavif\x00\x00\x00\x00mif1ispe" + bytes(4) + struct.pack(">II", side, side),
    }


@pytest.mark.parametrize("name", bombs())
def test_bomb_is_refused_by_its_header(name: str) -> None:
    text = refusal(bombs()[name])
    assert "limit of 178956970" in text
    assert "max_pixels" in text


def test_large_image_within_our_limit_does_not_wake_pillows() -> None:
    # 9,500 x 9,500 is beyond the size from which Pillow warns; the warning would fail this test.
    stripes = np.zeros((9500, 9500), np.uint8)
    data = cv2.imencode(".png", stripes, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    assert pixels_of(data).shape == (9500, 9500, 3)
    assert "9500 x 9500" in refusal(data, Limits(max_pixels=89_478_485))


# ------------------------------------------------------------------ arrays


def test_bgr_array_is_passed_on_without_a_copy() -> None:
    array = picture()
    (line,) = read_lines(array)
    assert isinstance(line, LineImage)
    assert line.pixels is array
    assert (line.input_path, line.page_index) == (None, None)


@pytest.mark.parametrize("shape", [(1, 9, 3), (9, 1, 3), (4, 20000, 3), (20000, 4, 3), (3, 50, 3), (1, 1)])
def test_extreme_shapes_are_images(shape: tuple[int, ...]) -> None:
    assert pixels_of(np.zeros(shape, np.uint8)).shape == (*shape[:2], 3)


@pytest.mark.parametrize("extra", [(), (1,)])
def test_grey_array_is_spread_over_three_channels(extra: tuple[int, ...]) -> None:
    grey = GENERATOR.integers(0, 256, (5, 7), dtype=np.uint8)
    expected = np.stack([grey, grey, grey], axis=-1)
    assert np.array_equal(pixels_of(grey.reshape(*grey.shape, *extra)), expected)


@pytest.mark.parametrize("alpha", [0, 255])
def test_alpha_of_an_array_that_is_the_same_everywhere_is_dropped(alpha: int) -> None:
    bgra = GENERATOR.integers(0, 256, (5, 7, 4), dtype=np.uint8)
    bgra[..., 3] = alpha
    assert np.array_equal(pixels_of(bgra), bgra[..., :3])


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bit_array_equals_the_16_bit_file(order: str) -> None:
    assert np.array_equal(pixels_of(DEEP.astype(order)), pixels_of(VARIANTS["png 16 bit"]))
    assert np.array_equal(pixels_of(DEEP[..., 0].astype(order)), pixels_of(VARIANTS["png 16 bit grey"]))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 5, 3), np.float32), "(img * 255).clip(0, 255).astype(np.uint8)"),
        (np.zeros((4, 5, 3), np.float64), "float64"),
        (np.zeros((4, 5), np.bool_), "img.astype(np.uint8) * 255"),
        (np.zeros((4, 5, 3), np.int64), "img.clip(0, 255).astype(np.uint8)"),
        (np.zeros((4, 5, 3), np.int8), "int8"),
        (np.array(["a.png", "b.png"]), "pass a list"),
        (np.array([picture(), None], dtype=object), "pass a list"),
        (np.zeros((2, 4, 5, 3), np.uint8), "pass a list of images"),
        (np.zeros((3, 40, 50), np.uint8), "img.transpose(1, 2, 0)"),
        (np.zeros((40, 50, 2), np.uint8), "(40, 50, 2)"),
        (np.zeros(7, np.uint8), "(7,)"),
        (np.zeros((), np.uint8), "()"),
        (np.zeros((0, 5, 3), np.uint8), "no pixels"),
        (np.zeros((5, 0), np.uint8), "no pixels"),
        (np.zeros((5, 4, 0), np.uint8), "no pixels"),
    ],
)
def test_other_arrays_are_refused_with_the_cure(array: Any, words: str) -> None:
    text = refusal(array)
    assert text.startswith("array number 0: ")
    assert words in text


# ------------------------------------------------------------------ PIL images


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_pil_modes(mode: str) -> None:
    image = rgb(picture()).convert("P").convert("PA") if mode == "PA" else rgb(picture()).convert(mode)
    expected = np.asarray(image.convert("RGBA" if mode == "PA" else "RGB"))[..., :3][..., ::-1]
    assert np.array_equal(pixels_of(image), expected)


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_16_bit_pil_image_is_cut_not_saturated(mode: str) -> None:
    values = np.array([[0, 255, 256, 4660, 65535]], dtype=">u2" if mode == "I;16B" else "<u2")
    image = Image.frombytes(mode, (5, 1), values.tobytes())
    assert pixels_of(image)[0, :, 0].tolist() == [0, 0, 1, 18, 255]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_deep_pil_image_is_refused_with_the_cure(mode: str) -> None:
    text = refusal(Image.new(mode, (5, 4)))
    assert text.startswith("PIL image number 0: ")
    assert "scale them to 0..255" in text


def test_pil_image_that_cannot_be_used() -> None:
    assert "no pixels" in refusal(Image.new("RGB", (0, 5)))
    assert "max_pixels" in refusal(Image.new("L", (5, 5)), Limits(max_pixels=24))
    with Image.open(io.BytesIO(VARIANTS["png"][:-60])) as cut:
        assert "Pillow cannot read it" in refusal(cut)
    closed = Image.open(io.BytesIO(VARIANTS["png"]))
    closed.close()
    assert "Pillow cannot read it" in refusal(closed)


def test_pil_image_is_turned_upright_and_left_as_it_is() -> None:
    with Image.open(io.BytesIO(VARIANTS["jpeg turned"])) as image:
        assert pixels_of(image).shape == (90, 40, 3)
        assert image.size == (90, 40)
        assert pixels_of(image).shape == (90, 40, 3)


def test_pixels_do_not_share_memory_with_the_pil_image() -> None:
    image = rgb(picture())
    pixels = pixels_of(image)
    image.paste((0, 0, 0), (0, 0, 90, 40))
    assert np.array_equal(pixels, picture())
