"""The door on the real model: texts and scores of PaddleOCR, its spellings, and clear refusals."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import cv2
import pytest

from ocrhpi import TextRecognition
from ocrhpi.errors import ModelNotFound, OptionError, UnknownModel
from ocrhpi.machine import usable_cores
from tests.conftest import needs_paddle2onnx

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.label_file import Label


@pytest.mark.parametrize("batch_size", [1, 8, 64])
def test_all_sample_lines_read_as_paddleocr_reads_them(
    recognition: TextRecognition, lines_dir: Path, labels: dict[str, Label], batch_size: int
) -> None:
    results = recognition.predict([lines_dir / file for file in labels], batch_size)
    assert len(results) == 61
    for result, (file, label) in zip(results, labels.items(), strict=True):
        assert result["input_path"] == str(lines_dir / file)
        assert result["rec_text"] == label.text
        assert result["rec_score"] == pytest.approx(label.score, abs=1e-3)


def test_a_directory_is_read_sorted(recognition: TextRecognition, lines_dir: Path, labels: dict[str, Label]) -> None:
    results = recognition.predict(lines_dir, 16)
    assert [result["rec_text"] for result in results] == [labels[file].text for file in sorted(labels)]


def test_threads_on_one_instance(recognition: TextRecognition, lines_dir: Path, labels: dict[str, Label]) -> None:
    files = list(labels)[:16]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda file: recognition.predict(str(lines_dir / file))[0], files))
    assert [result["rec_text"] for result in results] == [labels[file].text for file in files]


def test_arrays_are_bgr(recognition: TextRecognition, lines_dir: Path, labels: dict[str, Label]) -> None:
    image = cv2.imread(str(lines_dir / "ch_en_num_000.png"))
    assert image is not None
    (result,) = recognition.predict(image)
    assert result["rec_text"] == labels["ch_en_num_000.png"].text
    assert result["input_path"] is None


def test_word_boxes(recognition: TextRecognition, lines_dir: Path) -> None:
    (result,) = recognition.predict(lines_dir / "return_word_debug_002.png", return_word_box=True)
    text, (column_count, words, columns, kinds) = result["rec_text"]
    assert text == "027-88852022"
    assert ["".join(word) for word in words] == ["027-88852022"]
    assert kinds == ["en&num"]
    assert columns[0] == sorted(columns[0])
    assert columns[0][-1] < column_count <= 40


def test_word_boxes_are_the_same_all_at_once_and_one_by_one(tiny_dir: Path, lines_dir: Path) -> None:
    with TextRecognition(model_dir=tiny_dir, device="cpu", return_word_box=True) as recognition:
        for words in (None, True, False):
            at_once = recognition.predict(lines_dir, 8, return_word_box=words)
            one_by_one = recognition.predict_iter(lines_dir, return_word_box=words)
            assert [result["rec_text"] for result in at_once] == [result["rec_text"] for result in one_by_one]
            assert isinstance(at_once[0]["rec_text"], str) == (words is False)


def test_what_runs_is_reported(recognition: TextRecognition) -> None:
    assert recognition.effective.backend == "paddle"
    assert recognition.effective.precision == "fp32"
    assert recognition.effective.threads == usable_cores()


def test_results_are_saved_under_the_names_of_the_peer(
    recognition: TextRecognition, lines_dir: Path, tmp_path: Path
) -> None:
    (result,) = recognition.predict(lines_dir / "ch_en_num_014.png")
    result.save_all(tmp_path)
    saved = json.loads((tmp_path / "ch_en_num_014_res.json").read_text("utf-8"))
    assert saved["rec_text"] == "极速发货"
    assert (tmp_path / "ch_en_num_014_res.png").is_file()


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({"enable_mkldnn": False}, {"onednn": False}),
        (
            {"enable_mkldnn": True, "mkldnn_cache_capacity": 5, "cpu_threads": 1},
            {"onednn": True, "threads": 1},
        ),
        (
            {"engine": "paddle_static", "engine_config": {"run_mode": "paddle", "cpu_threads": 1}},
            {"onednn": False},
        ),
        ({"engine_config": {"paddle_static": {"run_mode": "mkldnn", "enable_new_ir": True}}}, {"new_ir": True}),
        (
            {"enable_hpi": False, "use_tensorrt": False, "precision": "fp32", "enable_cinn": False},
            {"onednn": True},
        ),
    ],
    ids=lambda value: next(iter(value)),
)
def test_spellings_of_paddleocr(tiny_dir: Path, options: dict[str, Any], settings: dict[str, Any]) -> None:
    with TextRecognition(model_dir=str(tiny_dir), device="cpu", **options) as recognition:
        effective = recognition.effective
        assert {**effective.settings, "threads": effective.threads}.items() >= settings.items()


@needs_paddle2onnx
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_other_engines_read_the_same(
    engine: str,
    v4_mobile_dir: Path,
    lines_dir: Path,
    labels: dict[str, Label],
    monkeypatch: pytest.MonkeyPatch,
    models_dir: Path,
) -> None:
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(models_dir))
    options: dict[str, Any] = {"engine": engine, "engine_config": {engine: {"threads": 2}}}
    with TextRecognition(model_dir=v4_mobile_dir, device="cpu", **options) as recognition:
        assert recognition.effective.backend == engine
        assert recognition.effective.precision == "fp32"
        for batch_size in (1, 8, 64):
            results = recognition.predict([lines_dir / file for file in labels], batch_size)
            assert [result["rec_text"] for result in results] == [label.text for label in labels.values()]
            assert (
                max(abs(r["rec_score"] - label.score) for r, label in zip(results, labels.values(), strict=True)) < 1e-3
            )


def test_input_shape_stretches(v4_mobile_dir: Path, lines_dir: Path, labels: dict[str, Label]) -> None:
    with TextRecognition(model_dir=v4_mobile_dir, device="cpu", input_shape=[3, 48, 200]) as recognition:
        short, long = recognition.predict([lines_dir / "text_det_001.png", lines_dir / "en_003.png"], 2)
    assert short["rec_text"] == labels["text_det_001.png"].text
    assert long["rec_text"] != labels["en_003.png"].text, "1340 columns squeezed into 200"


def test_options_without_effect_in_normal_mode_are_said_so(tiny_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    with TextRecognition(model_dir=tiny_dir, device="cpu", use_tensorrt=True, precision="fp16"):
        assert "use_tensorrt, precision: no effect in normal mode" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cpu_thread": 2}, "Did you mean 'cpu_threads'"),
        ({"cpu_threads": 0}, "greater than or equal to 1"),
        ({"precision": "int8"}, "'fp32' or 'fp16'"),
        ({"input_shape": (1, 32, 320)}, r"takes \(3, 48, width\)"),
        ({"hpi_config": {"backend": "openvino"}}, "without use_hpip"),
        ({"engine_config": {"paddle_static": 3}}, "expected a mapping"),
        ({"engine_config": {"threads": 3}}, "engine_config|cpu_threads"),
        ({"device": "gpu:0,1"}, "one index"),
    ],
)
def test_options_that_do_not_fit(tiny_dir: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TextRecognition(model_dir=tiny_dir, **options)


def test_models_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="Did you mean 'PP-OCRv4_mobile_rec'"):
        TextRecognition("PP-OCRv4_mobil_rec")
    with pytest.raises(ModelNotFound, match="nowhere"):
        TextRecognition(model_dir=tmp_path / "nowhere")
