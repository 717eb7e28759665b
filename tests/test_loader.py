"""The wiring on real engines: masked, split and exact batching read the same text, from many threads too."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ocrhpi import assembly, load_predictor
from ocrhpi.assembly import open_reader
from ocrhpi.config.candidate import Candidate
from ocrhpi.errors import BackendClosed, BackendError, OptionError, UnknownBackend
from ocrhpi.export.exporter import GraphForm, write_export
from ocrhpi.model import load_model
from ocrhpi.reading.base import Shapes
from ocrhpi.values import LineImage
from tests.conftest import needs_paddle2onnx
from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.label_file import Label
    from ocrhpi.model import Model
    from ocrhpi.reading.engine import EngineReader
    from ocrhpi.values import Batching


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
@pytest.mark.parametrize(
    ("backend", "options"),
    [("openvino", {}), ("openvino", {"hint": "throughput"}), ("onnxruntime", {})],
    ids=["openvino", "openvino throughput", "onnxruntime"],
)
def test_split_by_width_reads_the_same_text(
    backend: str, options: dict[str, Any], v4_mobile_dir: Path, lines_dir: Path, labels: dict[str, Label]
) -> None:
    files = [lines_dir / file for file in labels]
    with load_predictor(
        model_dir=v4_mobile_dir, backend=backend, batching="split", backend_options=options
    ) as predictor:
        for batch_size in (1, 8):
            for read in (predictor.predict, predictor.predict_iter):
                results = list(read(files, batch_size=batch_size))
                assert [result["rec_text"] for result in results] == [label.text for label in labels.values()]
                scores = [result["rec_score"] for result in results]
                assert scores == pytest.approx([label.score for label in labels.values()], abs=1e-3)
        assert predictor.effective.settings["up_to"] == 320
        narrow, wide = (predictor.reader.engine_for(width) for width in (320, 321))
        assert [engine.backend.masked for engine in (narrow, wide)] == [False, True]


@needs_paddle2onnx
@pytest.mark.parametrize("batching", ["masked", "split"])
def test_word_boxes_are_the_same_in_masked_batches(v4_mobile_dir: Path, lines_dir: Path, batching: Batching) -> None:
    with (
        load_predictor(model_dir=v4_mobile_dir, backend="paddle") as normal,
        load_predictor(model_dir=v4_mobile_dir, backend="openvino", batching=batching) as masked,
    ):
        expected = [r["rec_text"] for r in normal.predict_iter(lines_dir, return_word_box=True)]
        assert [r["rec_text"] for r in masked.predict_iter(lines_dir, batch_size=16, return_word_box=True)] == expected


def lines_of(*widths: int) -> list[LineImage]:
    return [LineImage(np.full((48, width, 3), width % 256, np.uint8)) for width in widths]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_onnx_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize(
    ("batching", "bound"), [("masked", 46), ("split", 46), ("rounded", 46), ("natural", 65), ("exact", None)]
)
def test_of_many_widths_few_shapes_are_seen_and_met_ones_are_known(
    tiny: Model, backend: str, batching: Batching, bound: int | None
) -> None:
    rng = np.random.default_rng(0)
    lines = lines_of(*rng.integers(20, 3400, 300).tolist(), *[320] * 20)
    candidate = Candidate(backend=backend, device="cpu", options={"threads": 1}, batching=batching, batch_size=8)
    with open_reader(tiny, candidate) as reader:
        assert reader.shapes == Shapes(0, bound)
        reader.meet(lines[:40])
        first = reader.shapes.seen
        assert first > 5
        assert reader.meet(lines[:40]).shapes == 0
        reader.read(lines[:40])
        assert reader.shapes.seen == first, "all of them were met"
        for start in range(40, 320, 40):
            reader.read(lines[start : start + 40])
        reader.read(lines)
        seen = reader.shapes.seen
        assert bound is None or first < seen <= bound
        assert reader.meet(lines).shapes == 0
        assert reader.shapes.seen == seen


def test_an_engine_is_told_how_many_shapes_will_come(tiny: Model) -> None:
    def caches(batching: Batching, model: Model = tiny, **options: Any) -> list[int]:
        candidate = Candidate(backend="openvino", device="cpu", batching=batching, **options)
        with open_reader(model, candidate) as reader:
            found = (reader.engine_for(width).effective.settings["runtime_cache"] for width in (320, 321))
            return list(dict.fromkeys(found))

    assert caches("exact", batch_size=8) == [2000]
    assert caches("masked", batch_size=8) == [46 * 80]
    assert caches("rounded", batch_size=8, buckets=(320, 1280)) == [(4 + 2 + 1) * 80]
    assert caches("split", batch_size=8) == [4 * 80, 42 * 80]
    assert caches("split", batch_size=8, buckets=(320, 1280)) == [4 * 80, 3 * 80]
    assert caches("exact", tiny.stretched(256), batch_size=8) == [4 * 80]
    assert caches("split", batch_size=8, options={"runtime_cache": 5}) == [5]


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("batching", ["split", "masked", "rounded", "natural", "exact"])
def test_a_stretched_model_has_one_width_in_every_batching(tiny: Model, backend: str, batching: Batching) -> None:
    model = tiny.stretched(256)
    lines = lines_of(10, 256, 700, 320, 5000)
    candidate = Candidate(backend=backend, device="cpu", batching=batching, batch_size=4)
    with open_reader(model, candidate) as reader, open_reader(model, Candidate(backend=backend, device="cpu")) as exact:
        assert [line.text for line in reader.read(lines)] == [exact.read([line])[0].text for line in lines]
        (request, *_) = reader.engine_for(256).prepare(lines)
        assert request[0].shape == (4, 3, 48, 256)


def test_a_second_engine_that_does_not_open_closes_the_first(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[EngineReader] = []

    def failing(*arguments: Any) -> EngineReader:
        if opened:
            raise BackendError("openvino", "no memory is left")
        opened.append(open_engine(*arguments))
        return opened[0]

    open_engine = assembly._open_engine
    monkeypatch.setattr(assembly, "_open_engine", failing)
    with pytest.raises(BackendError, match="no memory is left"):
        open_reader(tiny, Candidate(backend="onnxruntime", device="cpu", batching="split"))
    with pytest.raises(BackendClosed):
        opened[0].read(lines_of(100))


@needs_paddle2onnx
def test_an_exported_directory_runs_in_the_form_it_has(v4_mobile_dir: Path, lines_dir: Path, tmp_path: Path) -> None:
    model = load_model(v4_mobile_dir)
    directory = write_export(model, GraphForm("topk", masked=True), tmp_path / "masked").path
    with load_predictor(model_dir=directory, backend="onnxruntime", batching="masked") as predictor:
        assert predictor.model.files.onnx == directory / "inference.onnx"
        assert next(predictor.predict_iter(lines_dir / "text_det_013.png"))["rec_text"] == "惊喜福利不容错过"
    asked: list[dict[str, Any]] = [{}, {"backend": "openvino", "batching": "split"}]
    for options in asked:  # exact widths are something that it takes
        with load_predictor(model_dir=directory, **options) as predictor:
            assert next(predictor.predict_iter(lines_dir / "text_det_013.png"))["rec_text"] == "惊喜福利不容错过"
    plain = write_export(model, GraphForm("topk"), tmp_path / "plain").path
    with pytest.raises(OptionError, match="not width-masked"):
        load_predictor(model_dir=plain, backend="onnxruntime", batching="masked")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"backend": "paddle", "batching": "masked"}, OptionError),
        ({"backend": "paddle", "batching": "split"}, OptionError),
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
