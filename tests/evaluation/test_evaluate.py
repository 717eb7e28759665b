"""Datasets are read line by line, and what cannot be read counts as wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from ocrhpi.errors import BackendError, OptionError
from ocrhpi.evaluation.evaluate import Difference, Metric, evaluate, load_dataset
from ocrhpi.predictor import Predictor
from tests.reading.fake_reader import FakeReader

if TYPE_CHECKING:
    from pathlib import Path


def save(path: Path, width: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((48, width, 3), 200, np.uint8))


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Eight labels: one each of a missing, a damaged and a wrong image, a folder, and one image twice."""
    for width in (50, 60, 70):
        save(tmp_path / f"{width}.png", width)
    (tmp_path / "bad.png").write_bytes(b"no image")
    (tmp_path / "folder").mkdir()
    rows = [
        "50.png\treader:50",
        "gone.png\tx",
        "60.png\treader: 60",
        "bad.png\t",
        "70.png\treader:77",
        "folder\tx",
        '["60.png", "50.png"]\treader:60',
    ]
    file = tmp_path / "rec_gt.txt"
    file.write_text("\n".join(rows), "utf-8")
    return file


@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_a_dataset_is_counted_line_by_line(labels: Path, batch_size: int | None) -> None:
    dataset = load_dataset(labels)
    steps: list[int] = []
    with Predictor(FakeReader("reader")) as predictor:
        found = evaluate(predictor, dataset, Metric(), batch_size=batch_size, advance=lambda: steps.append(1))
    assert (found.dataset, found.lines, found.correct, len(steps)) == (labels.parent.name, 8, 3, 8)
    assert found.accuracy == pytest.approx(3 / 8.00001, abs=1e-15)
    # two lines that differ in one character of nine, and three images that cannot be read
    assert found.norm_edit_distance == pytest.approx(1 - (1 / 9 + 1 / 9 + 3) / 8.00001, abs=1e-12)
    assert [(line.path, bool(line.error)) for line in found.differences] == [
        ("gone.png", True),
        ("bad.png", True),
        ("70.png", False),
        ("folder", True),
        ("50.png", False),
    ]
    assert found.differences[2] == Difference("70.png", "reader:77", "reader:70")
    assert [line.error.partition("/folder")[1] for line in found.unreadable] == ["", "", "/folder"]
    assert all(line.path in line.error for line in found.unreadable)


def test_it_is_what_a_benchmark_takes(labels: Path) -> None:
    with Predictor(FakeReader("reader")) as predictor:
        found = evaluate(predictor, load_dataset(labels), Metric(ignore_space=False))
    accuracy = found.as_accuracy
    assert (accuracy.dataset, accuracy.lines, accuracy.unreadable) == (labels.parent.name, 5, 3)
    assert accuracy.accuracy == found.accuracy == pytest.approx(2 / 8, abs=1e-5)
    assert accuracy.norm_edit_distance == found.norm_edit_distance


def test_the_first_page_of_a_file_is_the_line(tmp_path: Path) -> None:
    pages = [np.full((48, width, 3), 1, np.uint8) for width in (50, 60)]
    assert cv2.imwritemulti(str(tmp_path / "pages.tif"), pages)
    save(tmp_path / "70.png", 70)
    (tmp_path / "labels.txt").write_text("pages.tif\treader:50\n70.png\treader:70\n", "utf-8")
    with Predictor(FakeReader("reader")) as predictor:
        assert evaluate(predictor, load_dataset(tmp_path / "labels.txt"), Metric()).correct == 2


def test_an_engine_that_fails_ends_it(labels: Path) -> None:
    reader = FakeReader("reader")
    reader.failure = BackendError("reader", "broke")
    with Predictor(reader) as predictor, pytest.raises(BackendError, match="broke"):
        evaluate(predictor, load_dataset(labels), Metric())


def test_datasets_without_lines_or_images_are_refused(labels: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(OptionError, match=r"none of the images .*elsewhere.50\.png") as caught:
        load_dataset(labels, tmp_path / "elsewhere")
    assert caught.value.name == "data"
    with pytest.raises(OptionError, match="no folder"):
        load_dataset(labels, tmp_path / "none")
    (tmp_path / "empty.txt").write_text("\n", "utf-8")
    with pytest.raises(OptionError, match="holds no line") as caught:
        load_dataset(tmp_path / "empty.txt")
    assert caught.value.name == "labels"


def test_the_images_may_be_elsewhere(labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    moved = tmp_path / "labels" / "rec_gt.txt"
    moved.parent.mkdir()
    labels.replace(moved)
    dataset = load_dataset(moved, ".")
    assert (dataset.folder, dataset.name) == (tmp_path, tmp_path.name)
