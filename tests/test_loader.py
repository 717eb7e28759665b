"""The wiring on real engines: masked and exact batching read the same text, from many threads too."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi import load_predictor
from ocrhpi.errors import OptionError, UnknownBackend
from ocrhpi.export.exporter import GraphForm, write_export
from ocrhpi.model import load_model
from tests.conftest import needs_paddle2onnx

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.label_file import Label


@pytest.fixture(autouse=True)
def cache_of_the_checkout(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(models_dir))


@needs_paddle2onnx
@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_masked_batches_read_the_same_text_from_many_threads(
    backend: str, v4_mobile_dir: Path, lines_dir: Path, labels: dict[str, Label]
) -> None:
    files = [lines_dir / file for file in labels]
    expected = [label.text for label in labels.values()]
    with load_predictor(model_dir=v4_mobile_dir, backend=backend, batching="masked") as predictor:

        def texts(batch_size: int) -> list[str]:
            return [result["rec_text"] for result in predictor.predict_iter(files, batch_size=batch_size)]

        for batch_size in (1, 8, 64):
            assert texts(batch_size) == expected
        files, expected = files[::4], expected[::4]
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(texts, [4, 8] * 4)) == [expected] * 8


@needs_paddle2onnx
def test_word_boxes_are_the_same_in_masked_batches(v4_mobile_dir: Path, lines_dir: Path) -> None:
    with (
        load_predictor(model_dir=v4_mobile_dir, backend="paddle") as normal,
        load_predictor(model_dir=v4_mobile_dir, backend="openvino", batching="masked") as masked,
    ):
        expected = [r["rec_text"] for r in normal.predict_iter(lines_dir, return_word_box=True)]
        assert [r["rec_text"] for r in masked.predict_iter(lines_dir, batch_size=16, return_word_box=True)] == expected


@needs_paddle2onnx
def test_an_exported_directory_runs_in_the_form_it_has(v4_mobile_dir: Path, lines_dir: Path, tmp_path: Path) -> None:
    model = load_model(v4_mobile_dir)
    directory = write_export(model, GraphForm("topk", masked=True), tmp_path / "masked").path
    with load_predictor(model_dir=directory, backend="onnxruntime", batching="masked") as predictor:
        assert predictor.model.files.onnx == directory / "inference.onnx"
        assert next(predictor.predict_iter(lines_dir / "text_det_013.png"))["rec_text"] == "惊喜福利不容错过"
    with pytest.raises(OptionError, match="masked=True"):
        load_predictor(model_dir=directory, backend="onnxruntime")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"backend": "paddle", "batching": "masked"}, OptionError),
        ({"backend": "paddle", "head": "topk"}, OptionError),
        ({"backend": "openvino", "batching": "wide"}, OptionError),
        ({"backend": "openvino", "head": "top5"}, OptionError),
        ({"backend": "openvno"}, UnknownBackend),
        ({"backend": "openvino", "backend_options": {"stream": 1}}, OptionError),
    ],
)
def test_what_does_not_fit_is_refused(tiny_dir: Path, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        load_predictor(model_dir=tiny_dir, **options)


def test_neither_name_nor_directory() -> None:
    with pytest.raises(OptionError, match="neither model_name nor model_dir"):
        load_predictor()
