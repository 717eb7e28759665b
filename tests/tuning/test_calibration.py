from __future__ import annotations

import bisect
import csv
import io
import os
import subprocess
import sys
import unicodedata
import zipfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from ocrhpi.errors import OptionError
from ocrhpi.recognition.geometry import line_geometry
from ocrhpi.tuning import calibration
from ocrhpi.tuning.calibration import MAX_LINES, MIN_LINES, CalibrationSet, calibration_digest, load_calibration
from ocrhpi.values import InputSpec

if TYPE_CHECKING:
    from ocrhpi.values import Pixels

ROOT = Path(__file__).parents[2]
ARCHIVE = ROOT / "ocrhpi" / "tuning" / "data" / "lines.zip"
SPEC = InputSpec()


@pytest.fixture(scope="module")
def shipped() -> CalibrationSet:
    return load_calibration()


@pytest.fixture(scope="module")
def index() -> list[dict[str, str]]:
    with zipfile.ZipFile(ARCHIVE) as archive:
        rows = io.StringIO(archive.read("index.tsv").decode(), newline="\n")
    return list(csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE))


def save(path: Path, shade: int = 200, width: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((32, width, 3), shade, np.uint8)
    assert cv2.imwrite(str(path), pixels)


def fill(folder: Path, count: int) -> None:
    for number in range(count):
        save(folder / f"{number:03}.png", number)


def shares(values: list[str]) -> dict[str, float]:
    return {value: count / len(values) for value, count in Counter(values).items()}


def padded_width(pixels: Pixels) -> int:
    return line_geometry(pixels.shape[1], pixels.shape[0], SPEC).padded_width


def width_shares(calibration: CalibrationSet) -> list[float]:
    """Shares of the lines that are 320 wide, up to 640, up to 1280, and wider."""
    ranges = [bisect.bisect_left((320, 640, 1280), padded_width(line.pixels)) for line in calibration.lines]
    return [ranges.count(number) / len(ranges) for number in range(4)]


def test_the_shipped_set_is_small_and_complete(shipped: CalibrationSet, index: list[dict[str, str]]) -> None:
    assert ARCHIVE.stat().st_size < 1_000_000
    assert len(shipped.lines) == shipped.own == len(index) == 200
    assert [(line.name, line.text) for line in shipped.lines] == [(row["name"], row["text"]) for row in index]
    assert shipped.directory is None
    assert shipped.source == "shipped"
    assert shipped.skipped == ()
    assert len({line.text for line in shipped.lines}) == 200


def test_shipped_texts_are_clean(shipped: CalibrationSet) -> None:
    for line in shipped.lines:
        assert line.text
        assert line.text == unicodedata.normalize("NFC", " ".join(line.text.split())), line.name


def test_shipped_images_are_of_many_sizes(shipped: CalibrationSet) -> None:
    heights = {line.pixels.shape[0] for line in shipped.lines}
    assert min(heights) <= 24
    assert max(heights) > 60
    wide = [width for line in shipped.lines if (width := padded_width(line.pixels)) > 320]
    assert len(set(wide)) == len(wide) >= 60
    assert all(line.pixels.ndim == 3 and line.pixels.dtype == np.uint8 for line in shipped.lines)


def test_shipped_widths_scripts_and_difficulties(shipped: CalibrationSet, index: list[dict[str, str]]) -> None:
    assert width_shares(shipped) == pytest.approx([0.65, 0.20, 0.12, 0.03])
    scripts = Counter(row["script"] for row in index)
    assert (scripts["latin"], scripts["chinese"], len(scripts)) == (90, 60, 12)
    assert len({row["difficulty"] for row in index}) == 11


@pytest.mark.parametrize("size", [32, 64, 100])
def test_the_first_lines_stand_for_all(index: list[dict[str, str]], size: int) -> None:
    first = load_calibration(limit=size)
    assert len(first.lines) == size
    assert width_shares(first) == pytest.approx(width_shares(load_calibration()), abs=0.05)
    assert all(width_shares(first))
    for trait in ("script", "difficulty"):
        whole, beginning = (shares([row[trait] for row in rows]) for rows in (index, index[:size]))
        for value, share in whole.items():
            assert beginning.get(value, 0) == pytest.approx(share, abs=0.05), value


def test_the_digest_is_the_same_each_time_and_follows_the_lines(tmp_path: Path) -> None:
    assert calibration_digest() == calibration_digest(limit=MAX_LINES)
    assert calibration_digest(limit=10) != calibration_digest()
    fill(tmp_path, MIN_LINES)
    before = calibration_digest(tmp_path)
    assert calibration_digest(tmp_path) == before
    (tmp_path / "labels.txt").write_text("000.png\tone\n", "utf-8")
    labelled = calibration_digest(tmp_path)
    assert labelled != before
    save(tmp_path / "000.png", 99)
    assert calibration_digest(tmp_path) not in {before, labelled}


def test_a_folder_is_read_at_any_depth_in_order_of_its_paths(tmp_path: Path) -> None:
    fill(tmp_path / "b", MIN_LINES)
    save(tmp_path / "a" / "deep" / "x.JPG")
    save(tmp_path / ".hidden" / "x.png")
    (tmp_path / "notes.md").write_text("no image", "utf-8")
    read = load_calibration(tmp_path)
    assert [line.name for line in read.lines] == ["a/deep/x.JPG", *(f"b/{number:03}.png" for number in range(20))]
    assert {line.text for line in read.lines} == {None}
    assert (read.own, read.source, read.directory) == (21, str(tmp_path), str(tmp_path))


def test_a_relative_folder_is_found_from_elsewhere_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "lines", 2)
    monkeypatch.chdir(tmp_path)
    assert load_calibration("lines").directory == str(tmp_path / "lines")


@pytest.mark.parametrize("name", ["labels.txt", "rec_gt.txt", "label.txt"])
def test_labels_in_paddleocrs_format(tmp_path: Path, name: str) -> None:
    fill(tmp_path, MIN_LINES)
    save(tmp_path / "sub" / "é.png")
    rows = ["./000.png\t 两 words ", "001.png\t", "", "sub\\e\u0301.png\tü", "gone.png\tnot there"]
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + "\r\n".join(rows).encode())
    texts = {line.name: line.text for line in load_calibration(tmp_path).lines}
    assert texts["000.png"] == " 两 words "
    assert texts["001.png"] is texts["002.png"] is None
    assert texts["sub/é.png"] == "ü"


def test_the_first_file_of_labels_counts(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    (tmp_path / "labels.txt").write_text("000.png\tone", "utf-8")
    (tmp_path / "rec_gt.txt").write_text("000.png\tother", "utf-8")
    assert load_calibration(tmp_path).lines[0].text == "one"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"000.png\tfine\n001.png no tab\n", "line 2: received '001.png no tab'"),
        (b"000.png\ttwo\ttexts\n", "line 1: .* a tab and one text"),
        (b"\ttext\n", "line 1"),
        (b"000.png\tone\n000.png\tother\n", "line 2: '000.png' has another text"),
        (b"train/000.png\tone\n", "names none of the images .*'train/000.png'.*'000.png'"),
        (b"000.png\t\xff\xfe\n", "UTF-8"),
    ],
)
def test_malformed_labels_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    fill(tmp_path, 2)
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(OptionError, match=message) as caught:
        load_calibration(tmp_path)
    assert caught.value.name == "calibration_dir"


def test_a_large_folder_is_sampled_evenly(tmp_path: Path) -> None:
    fill(tmp_path, 90)
    read = load_calibration(tmp_path, limit=30)
    assert [line.name for line in read.lines] == [f"{number:03}.png" for number in range(0, 90, 3)]
    assert len(load_calibration(tmp_path, limit=89).lines) == 89


def test_pages_are_lines_as_far_as_there_is_room(tmp_path: Path) -> None:
    pages = [np.full((32, 100, 3), shade, np.uint8) for shade in (1, 2, 3, 4)]
    assert cv2.imwritemulti(str(tmp_path / "pages.tif"), pages)
    (tmp_path / "labels.txt").write_text("pages.tif\tfirst\npages.tif[2]\tthird\n", "utf-8")
    read = load_calibration(tmp_path, limit=3)
    assert [(line.name, line.text) for line in read.lines] == [
        ("pages.tif", "first"),
        ("pages.tif[1]", None),
        ("pages.tif[2]", "third"),
    ]


def test_unreadable_images_are_left_out_and_named(tmp_path: Path) -> None:
    fill(tmp_path, MIN_LINES)
    (tmp_path / "bad.png").write_bytes(b"")
    (tmp_path / "cut.png").write_bytes((tmp_path / "000.png").read_bytes()[:60])
    read = load_calibration(tmp_path)
    assert len(read.lines) == MIN_LINES
    assert len(read.skipped) == 2
    assert "bad.png: is empty" in read.skipped[0]
    assert "cut.png" in read.skipped[1]


def test_more_pixels_than_memory_allows_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, 3)
    monkeypatch.setattr(calibration, "_MAX_BYTES", 2 * 32 * 100 * 3)
    read = load_calibration(tmp_path)
    assert read.own == 2
    assert len(read.skipped) == 1
    assert "002.png" in read.skipped[0]


def test_few_lines_are_filled_up_but_the_stream_is_of_them_alone(tmp_path: Path, shipped: CalibrationSet) -> None:
    for number in range(4):
        save(tmp_path / f"{number}.png", shade=10 * number, width=100 if number else 400)
    read = load_calibration(tmp_path)
    assert read.own == 4
    assert len(read.lines) == 204
    assert read.lines[4].text == shipped.lines[0].text
    shades = [int(line[0, 0, 0]) for line in read.stream(SPEC).part(0, 40)]
    assert Counter(shades) == dict.fromkeys((0, 10, 20, 30), 10)
    assert len(load_calibration(tmp_path, limit=50).lines) == 50


def test_widths_that_recur_among_the_users_lines_are_kept_in_the_stream(tmp_path: Path) -> None:
    widths = (500, 500, 400, 700, 50, 60)  # the last two are both padded to the base width, but are not equally wide
    for number, width in enumerate(widths):
        save(tmp_path / f"{number}.png", shade=10 * number, width=width)
    found: dict[int, set[int]] = {number: set() for number in range(len(widths))}
    for line in load_calibration(tmp_path).stream(SPEC).part(0, 30 * len(widths)):
        found[int(line[0, 0, 0]) // 10].add(line.shape[1])
    assert found[0] == found[1] == {500}
    assert all(len(found[number]) > 10 for number in (2, 3, 4, 5))


def test_lines_that_are_all_stretched_to_one_width_keep_theirs(tmp_path: Path) -> None:
    for number, width in enumerate((100, 400)):
        save(tmp_path / f"{number}.png", width=width)
    stream = load_calibration(tmp_path).stream(InputSpec(stretch_width=640))
    assert {line.shape[1] for line in stream.part(0, 20)} == {100, 400}


def test_the_shipped_lines_come_in_widths_that_are_new(shipped: CalibrationSet) -> None:
    own = {line.pixels.shape for line in shipped.lines}
    stream = shipped.stream(SPEC).part(0, 200)
    assert sum(line.shape in own for line in stream) < 20


def test_folders_without_lines_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no directory; expected a directory with images"):
        load_calibration(tmp_path / "missing")
    with pytest.raises(OptionError, match="received ''"):
        load_calibration("")
    with pytest.raises(OptionError, match="holds no image; expected files"):
        load_calibration(tmp_path)
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(OptionError, match=r"none of the images .* can be read; the first: .*bad\.png"):
        load_calibration(tmp_path)
    with pytest.raises(OptionError, match="a file; expected a directory"):
        load_calibration(tmp_path / "bad.png")
    with pytest.raises(OptionError, match="'limit': received 0"):
        load_calibration(limit=0)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    try:
        with pytest.raises(OptionError, match="locked cannot be listed"):
            load_calibration(tmp_path)
    finally:
        locked.chmod(0o700)


@pytest.mark.skipif(
    "OCRHPI_CALIBRATION_FONTS" not in os.environ,
    reason="needs OCRHPI_CALIBRATION_FONTS, a folder with the fonts named in scripts/render_calibration.yaml, and the "
    "library versions of ocrhpi/tuning/data/README.md",
)
def test_the_script_renders_the_shipped_lines(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "render_calibration.py"
    again = tmp_path / "lines.zip"
    arguments = ["--fonts", os.environ["OCRHPI_CALIBRATION_FONTS"], "--out", str(again)]
    run = subprocess.run(
        [sys.executable, script, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert again.read_bytes() == ARCHIVE.read_bytes()
