"""The walk over inputs: what is accepted, in which order, and what stands in the place of a fault."""

from __future__ import annotations

import gc
import io
import os
import pickle
import subprocess
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from PIL import Image

from ocrhpi.errors import OptionError, UnreadableInput, UnsupportedInput
from ocrhpi.recognition.inputs import SUFFIXES, Limits, read_lines
from ocrhpi.values import LineImage, UnreadableLine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocrhpi.values import Pixels

LINES = Path(__file__).parents[1] / "data" / "lines"


def grey(value: int, shape: tuple[int, int] = (4, 6)) -> Pixels:
    return np.full((*shape, 3), value, np.uint8)


def encoded(pixels: Pixels, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, pixels)[1].tobytes()


def write(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(grey(value)))
    return path


def read(source: Any, limits: Limits | None = None) -> list[LineImage | UnreadableLine]:
    return list(read_lines(source, limits or Limits()))


def values(lines: list[LineImage | UnreadableLine]) -> list[int | str]:
    """The grey value of each line, or the name of the error in its place."""
    return [int(line.pixels[0, 0, 0]) if isinstance(line, LineImage) else type(line.error).__name__ for line in lines]


def only_error(source: Any, limits: Limits | None = None) -> UnreadableLine:
    (line,) = read(source, limits)
    assert isinstance(line, UnreadableLine)
    return line


# ------------------------------------------------------------------ paths


@pytest.mark.parametrize("kind", [str, Path])
def test_path_gives_the_pixels_of_imdecode_and_the_path_as_given(kind: type) -> None:
    paths = sorted(LINES.glob("*.png"))
    assert paths
    lines = read([kind(path) for path in paths])
    for path, line in zip(paths, lines, strict=True):
        assert isinstance(line, LineImage)
        expected = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
        assert expected is not None
        assert np.array_equal(line.pixels, expected)
        assert line.input_path == str(path)
        assert line.page_index is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are Unicode")
def test_dir_entries_and_names_that_are_no_unicode_are_paths(tmp_path: Path) -> None:
    write(tmp_path / os.fsdecode(b"caf\xe9.png"), 7)
    with os.scandir(tmp_path) as entries:
        assert values(read(entries)) == [7]
    assert values(read(str(tmp_path))) == [7]


@pytest.mark.parametrize("name", ["scan.jfif", "scan", "scan.txt", "scan.pdf", "scan.tif"])
def test_content_decides_not_the_suffix(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(encoded(grey(9)))
    (line,) = read(tmp_path / name)
    assert isinstance(line, LineImage)
    assert line.page_index is None


def test_missing_file() -> None:
    line = only_error("nowhere/scan.png")
    assert isinstance(line.error, UnreadableInput)
    assert str(line.error) == "nowhere/scan.png: no such file or directory."
    assert line.input_path == "nowhere/scan.png"


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("", "is empty; expected a file"),
        ("ftp://host/a.png", "only http:// and https:// URLs"),
        ("a\0b.png", "cannot be a path"),
        ("x" * 5000 + ".png", "name too long"),
    ],
)
def test_strings_that_cannot_be_files(location: str, words: str) -> None:
    assert words in str(only_error(location).error)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a regular file" in str(only_error(tmp_path / "pipe.png").error)


def test_unreadable_file_tells_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A patch instead of chmod: the tests may run as root, to whom everything is permitted.
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    path = write(tmp_path / "a.png")
    monkeypatch.setattr(Path, "open", refuse)
    assert "permission denied" in str(only_error(path).error)


def test_empty_file_and_text_file(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("version https://git-lfs.github.com/spec/v1")
    assert "is empty (0 bytes)" in str(only_error(tmp_path / "empty.png").error)
    text = str(only_error(tmp_path / "text.png").error)
    assert "is not an image" in text
    assert "version https://" in text


def test_large_file_that_is_no_image_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "disk.png"
    with path.open("wb") as stream:
        stream.truncate(1 << 42)  # sparse: reading it would exhaust any memory
    assert "is not an image" in str(only_error(path).error)


# ------------------------------------------------------------------ directories


def test_directory_is_read_in_order_of_full_paths(tmp_path: Path) -> None:
    write(tmp_path / "b.png", 4)
    write(tmp_path / "a" / "z.PNG", 1)
    write(tmp_path / "a" / "deep" / "y.bmp", 0)
    write(tmp_path / "a.jpg", 2)
    write(tmp_path / "b" / "x.png", 5)
    (tmp_path / "notes.txt").write_text("no image")
    lines = read(tmp_path)
    paths = [str(line.input_path) for line in lines]
    assert paths == sorted(paths)
    names = ["a.jpg", "a/deep/y.bmp", "a/z.PNG", "b.png", "b/x.png"]
    assert [os.path.relpath(path, tmp_path) for path in paths] == names


def test_paths_below_a_directory_begin_with_it_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "scans" / "a.png")
    monkeypatch.chdir(tmp_path)
    assert [line.input_path for line in read("./scans")] == ["./scans/a.png"]


def test_every_suffix_is_looked_for(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        write(tmp_path / f"scan{suffix}")
        write(tmp_path / f"SCAN{suffix.upper()}")
    write(tmp_path / "scan.gif")
    assert len(read(tmp_path)) == 2 * len(SUFFIXES)


def test_hidden_files_and_folders_are_left_out_unless_named(tmp_path: Path) -> None:
    write(tmp_path / ".cache" / "a.png", 1)
    write(tmp_path / "._b.png", 2)
    write(tmp_path / "c.png", 3)
    assert values(read(tmp_path)) == [3]
    assert values(read(tmp_path / ".cache")) == [1]


def test_link_loops_end_and_links_to_files_are_read(tmp_path: Path) -> None:
    write(tmp_path / "real" / "a.png", 1)
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "real" / "b.png").symlink_to(tmp_path / "real" / "a.png")
    (tmp_path / "real" / "c.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "way").symlink_to(tmp_path / "real", target_is_directory=True)
    assert values(read(tmp_path / "way")) == [1, 1, "UnreadableInput"]


def test_directory_without_images_names_it_and_the_suffixes(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    line = only_error(tmp_path)
    assert str(tmp_path) in str(line.error)
    assert all(suffix in str(line.error) for suffix in SUFFIXES)
    assert line.input_path == str(tmp_path)


def test_subdirectory_that_cannot_be_listed_stands_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.png", 1)
    write(tmp_path / "b" / "x.png", 2)
    write(tmp_path / "c.png", 3)
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    lines = read(tmp_path)
    assert values(lines) == [1, "UnreadableInput", 3]
    assert isinstance(lines[1], UnreadableLine)
    assert "cannot be listed: permission denied" in str(lines[1].error)


def test_directory_within_a_list_keeps_its_place(tmp_path: Path) -> None:
    first, last = write(tmp_path / "i0.png", 10), write(tmp_path / "i1.png", 20)
    write(tmp_path / "more" / "a.png", 11)
    write(tmp_path / "more" / "b.png", 12)
    assert values(read([first, str(tmp_path / "more"), last])) == [10, 11, 12, 20]


# ------------------------------------------------------------------ bytes, arrays, lists


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_encoded_bytes(kind: type) -> None:
    (line,) = read(kind(encoded(grey(33))))
    assert isinstance(line, LineImage)
    assert np.array_equal(line.pixels, grey(33))
    assert line.input_path is None


def test_faults_are_numbered_by_position_among_all_inputs(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    write(tmp_path / "b.png")
    float_image = np.zeros((2, 2, 3), np.float32)
    lines = read([tmp_path, [b"junk", (float_image,)], Image.new("F", (3, 3))])
    errors = [str(line.error) for line in lines if isinstance(line, UnreadableLine)]
    prefixes = ["bytes number 1: ", "array number 2: ", "PIL image number 3: "]
    assert [error.startswith(prefix) for error, prefix in zip(errors, prefixes, strict=True)] == [True] * 3


def test_nesting_keeps_the_order_and_faults_their_place() -> None:
    source = [grey(1), (grey(2), [encoded(grey(3)), None]), [], iter([grey(4), "missing.png"]), grey(5)]
    assert values(read(source)) == [1, 2, 3, "UnsupportedInput", 4, "UnreadableInput", 5]


@pytest.mark.parametrize("source", [[], (), iter(()), [[], ()]])
def test_nothing_gives_nothing(source: Any) -> None:
    assert read(source) == []


@pytest.mark.parametrize(
    "source",
    [
        *[None, 3, 2.5, {"a.png": 1}, {"a.png"}, {}.values(), range(2), object(), LineImage, Exception("x")],
        *[np.float32(1), np.bytes_(b"a"), io.BytesIO(b"x"), io.StringIO("x")],
    ],
)
def test_other_objects_are_unsupported(source: Any) -> None:
    for given in (source, [source]):
        line = only_error(given)
        assert isinstance(line.error, UnsupportedInput)
        assert type(source).__qualname__ in str(line.error)
        assert line.input_path is None


def test_numpy_strings_are_paths() -> None:
    line = only_error(np.str_("no such file.png"))
    assert isinstance(line.error, UnreadableInput)
    assert line.input_path == "no such file.png"


def test_iterator_is_consumed_one_item_at_a_time() -> None:
    taken = []

    def source() -> Iterator[Pixels]:
        for value in range(1000):
            taken.append(value)
            yield grey(value % 256)

    lines = read_lines(source())
    assert taken == []
    next(lines)
    next(lines)
    assert taken == [0, 1]


@pytest.mark.parametrize("error", [ZeroDivisionError("mine"), UnreadableInput("mine", "broken"), OSError("mine")])
def test_what_the_users_iterator_raises_passes_through(error: Exception) -> None:
    def source() -> Iterator[Pixels]:
        yield grey(1)
        raise error

    lines = read_lines([source()])
    assert isinstance(next(lines), LineImage)
    with pytest.raises(type(error)) as raised:
        next(lines)
    assert raised.value is error


def test_only_one_image_is_held() -> None:
    class Watched(np.ndarray[Any, np.dtype[np.uint8]]):
        pass

    references: list[weakref.ref[Any]] = []

    def source() -> Iterator[Pixels]:
        for value in range(4):
            array = grey(value).view(Watched)
            references.append(weakref.ref(array))
            yield array

    for _ in read_lines(source()):
        gc.collect()
        assert sum(reference() is not None for reference in references) <= 2  # ours and the generator's own


def test_errors_do_not_keep_the_input_alive_and_can_be_pickled() -> None:
    error = only_error(encoded(grey(1))[:60]).error
    assert error.__traceback__ is None
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)


# ------------------------------------------------------------------ limits and cost


def test_pixel_limit_is_inclusive_and_names_size_limit_and_option() -> None:
    image = encoded(grey(1, (10, 20)))
    assert isinstance(read(image, Limits(max_pixels=200))[0], LineImage)
    text = str(only_error(image, Limits(max_pixels=199)).error)
    for part in ("20 x 10", "200 pixels", "limit of 199", "max_pixels"):
        assert part in text


@pytest.mark.parametrize("name", ["max_pixels", "url_max_bytes", "url_read_timeout_s", "pdf_scale"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_limits_must_be_positive(name: str, value: float) -> None:
    with pytest.raises(OptionError, match=name):
        Limits(**{name: value})  # type: ignore[arg-type]


def test_plain_images_load_neither_pillow_nor_pdfium_nor_requests() -> None:
    code = (
        "import sys, numpy as np, ocrhpi.recognition.inputs as i\n"
        f"lines = list(i.read_lines([{str(LINES)!r}, np.zeros((4, 4), np.uint8), None]))\n"
        "assert len(lines) > 2\n"
        "print([m for m in ('PIL', 'pypdfium2', 'requests') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
