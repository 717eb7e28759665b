"""The runner reads what the full package reads on the same engine, to the last bit of the score."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ocrhpi import load_predictor
from ocrhpi.bundle.targets import BundleOptions
from ocrhpi.bundle.write import write_bundle
from ocrhpi.edge import open_bundle
from ocrhpi.edge.bundle import Artifact, Bundle
from ocrhpi.edge.engine import open_engine
from ocrhpi.edge.reader import EdgeRecognizer, reader_of
from ocrhpi.errors import (
    BackendClosed,
    BackendError,
    BackendUnavailable,
    BundleError,
    OptionError,
    UnreadableInput,
)
from ocrhpi.recognition.batching import shapes_of, width_ladder
from tests.conftest import needs_paddle2onnx
from tests.tiny_onnx import spoil_weights, write_tiny_onnx

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ocrhpi.model import Model
    from ocrhpi.recognition.batching import PlannedBatch
    from ocrhpi.values import Emissions

THREADS = 1  # spinning threads of two would wait for each other on a busy machine


def texts_of(lines: list[Any]) -> list[tuple[str, float]]:
    return [(line.text, line.score) for line in lines]


@needs_paddle2onnx
@pytest.mark.parametrize(
    ("engine", "batching", "batch_size", "name"),
    [("onnxruntime", "exact", 1, "rec.zip"), ("onnxruntime", "masked", 8, "rec"), ("openvino", "exact", 8, "rec.zip")],
)
def test_all_sample_lines_of_a_real_model(
    v4_mobile: Model,
    models_dir: Path,
    lines_dir: Path,
    tmp_path: Path,
    engine: str,
    batching: Any,
    batch_size: int,
    name: str,
) -> None:
    files = [str(path) for path in sorted(lines_dir.glob("*.png"))]
    asked = BundleOptions(target=f"{engine}-cpu", batching=batching, lines=2)
    bundle = write_bundle(v4_mobile, asked, tmp_path / name, cache_dir=models_dir.parent / "exports").path
    with load_predictor(
        model_dir=v4_mobile.path, backend=engine, batching=batching, backend_options={"threads": THREADS}
    ) as predictor:
        expected = [
            (result["rec_text"], result["rec_score"]) for result in predictor.predict_iter(files, batch_size=batch_size)
        ]
    with open_bundle(bundle, threads=THREADS) as reader:
        received = texts_of(reader.read(files, batch_size=batch_size))
    assert len(files) == 61
    assert [text for text, _ in received] == [text for text, _ in expected]
    np.testing.assert_allclose([score for _, score in received], [score for _, score in expected], rtol=0, atol=1e-6)


@pytest.mark.parametrize("target", ["onnxruntime-cpu", "openvino-cpu"])
@pytest.mark.parametrize("head", ["full", "argmax", "logits"])
@pytest.mark.parametrize("batching", ["exact", "masked"])
def test_every_form_of_the_graph(
    make_bundle: Callable[..., Path], tiny_onnx: Model, target: str, head: str, batching: str, lines_dir: Path
) -> None:
    files = sorted(lines_dir.glob("*.png"))[:12]
    with open_bundle(make_bundle(target=target, head=head, batching=batching), threads=1) as reader:
        one_by_one = [line for file in files for line in reader.read([file])]
        together = reader.read(files, batch_size=5)
        assert reader.engine.startswith(target.split("-", maxsplit=1)[0])
        assert reader.engine.endswith("1 thread")
    with load_predictor(model_dir=tiny_onnx.path, backend="onnxruntime") as predictor:
        expected = [result["rec_text"] for result in predictor.predict_iter([str(file) for file in files])]
    assert [line.text for line in together] == expected
    assert [line.text for line in one_by_one] == expected


@pytest.mark.parametrize("batching", ["exact", "masked"])
def test_batches_have_few_shapes_and_lines_the_texts_they_have_alone(
    make_bundle: Callable[..., Path], batching: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (48, int(width), 3), np.uint8) for width in rng.integers(50, 3300, 60)]
    shapes: list[tuple[int, int]] = []
    with Bundle(make_bundle(batching=batching)) as bundle, reader_of(bundle) as reader:
        alone = texts_of([reader.read([image])[0] for image in images])
        run = EdgeRecognizer._run

        def noting(self: EdgeRecognizer, batch: PlannedBatch, *others: Any) -> Emissions:
            shapes.append((batch.rows, batch.width))
            emissions = run(self, batch, *others)
            assert len(emissions.indices) == len(batch.numbers)
            return emissions

        monkeypatch.setattr(EdgeRecognizer, "_run", noting)
        together = texts_of(reader.read(images, batch_size=8))
    assert [text for text, _ in together] == [text for text, _ in alone]
    np.testing.assert_allclose([score for _, score in together], [score for _, score in alone], rtol=0, atol=1e-5)
    assert {rows for rows, _ in shapes} <= {1, 2, 4, 8}
    if batching == "masked":
        assert set(shapes) <= set(shapes_of(width_ladder(64, 320, 3200), 8 * 320))
    else:
        assert {width for _, width in shapes} == {min(3200, max(320, image.shape[1])) for image in images}


def test_batch_size_and_threads_are_checked(made_zip: Path) -> None:
    for threads in (0, 2_000_000_000):
        with pytest.raises(OptionError, match="threads"):
            open_bundle(made_zip, threads=threads)
    with open_bundle(made_zip) as reader:
        with pytest.raises(OptionError, match="batch_size"):
            reader.read([], batch_size=0)
        with pytest.raises(OptionError, match="images"):
            reader.read("line.png")
        with pytest.raises(UnreadableInput):
            reader.read([b"no image"])
        assert reader.read([]) == []


def test_a_closed_reader(made_zip: Path) -> None:
    reader = open_bundle(made_zip)
    reader.close()
    reader.close()
    with pytest.raises(BackendClosed, match="onnxruntime"):
        reader.read([np.zeros((48, 100, 3), np.uint8)])


def test_an_engine_that_is_not_installed(made_zip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'ocrhpi-edge\[onnxruntime\]'"):
        open_bundle(made_zip)


def test_an_engine_that_the_runner_does_not_know(made_zip: Path) -> None:
    with Bundle(made_zip) as bundle, pytest.raises(BundleError, match="'tpu' is none of onnxruntime, openvino"):
        open_engine("tpu", bundle.take_artifact(), 28, "fp32", 1)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_graph_that_is_none(made_zip: Path, engine: str) -> None:
    with Bundle(made_zip) as bundle:
        artifact = replace(bundle.take_artifact(), data=b"no graph")
        with pytest.raises(BackendError, match=r"could not load .*rec\.zip: model\.onnx"):
            open_engine(engine, artifact, 28, "fp32", 1)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_probabilities_that_are_no_numbers(engine: str, tmp_path: Path) -> None:
    artifact = Artifact("rec.zip: model.onnx", spoil_weights(write_tiny_onnx(tmp_path / "model.onnx")), b"")
    opened = open_engine(engine, artifact, 28, "fp32", THREADS)
    with pytest.raises(BackendError, match=r"rec\.zip: model\.onnx gives probabilities that are no numbers"):
        opened.run(np.zeros((1, 3, 48, 320), np.float32))


@pytest.mark.parametrize("head", ["full", "argmax"])
def test_a_vocabulary_that_does_not_belong_to_the_graph(make_bundle: Callable[..., Path], head: str) -> None:
    with Bundle(make_bundle(head=head)) as bundle:
        engine = open_engine("onnxruntime", bundle.take_artifact(), 2, "fp32", 1)
        recognizer = EdgeRecognizer(bundle.config, ["", "a"], engine)
        with pytest.raises(BundleError, match="the vocabulary makes 2 classes"):
            recognizer.read([np.random.default_rng(0).integers(0, 256, (48, 640, 3), dtype=np.uint8)], 1)


def test_a_graph_of_another_form_than_the_configuration_says(made_zip: Path) -> None:
    with Bundle(made_zip) as bundle:
        bundle.config = replace(bundle.config, batching="masked")
        with pytest.raises(BundleError, match="needs another graph"):
            reader_of(bundle)


def test_a_precision_that_the_processor_does_not_have(make_bundle: Callable[..., Path]) -> None:
    with Bundle(make_bundle(target="openvino-cpu")) as bundle, pytest.raises(BackendError, match="int3"):
        open_engine("openvino", bundle.take_artifact(), 28, "int3", 1)


def test_right_to_left_scripts(made_zip: Path, monkeypatch: pytest.MonkeyPatch, lines_dir: Path) -> None:
    with Bundle(made_zip) as bundle:
        vocabulary = [chr(0x5D0 + number) for number in range(26)]  # Hebrew letters
        bundle.labels = ("", *vocabulary, " ")
        image = min(lines_dir.glob("*.png"))
        with reader_of(bundle) as reader:
            (as_in_the_image,) = reader.read([image])
        bundle.config = replace(bundle.config, right_to_left=True)
        with reader_of(bundle) as reader:
            (turned,) = reader.read([image])
        assert len(turned.text) > 1
        assert turned.text == as_in_the_image.text[::-1]
        monkeypatch.setitem(sys.modules, "bidi", None)
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(BackendUnavailable, match=r"ocrhpi-edge\[arabic\]"):
            reader_of(bundle)


def test_threads_may_share_a_reader(made_zip: Path, lines_dir: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    files = sorted(lines_dir.glob("*.png"))[:8]
    with open_bundle(made_zip) as reader, ThreadPoolExecutor(4) as pool:
        alone = [reader.read([file])[0].text for file in files]
        assert [lines[0].text for lines in pool.map(lambda file: reader.read([file]), files)] == alone


def test_openvino_does_not_go_on_after_a_failure(make_bundle: Callable[..., Path], lines_dir: Path) -> None:
    pytest.importorskip("openvino")
    image = str(min(lines_dir.glob("*.png")))
    with open_bundle(make_bundle(target="openvino-cpu")) as reader:
        (text,) = reader.read([image])
        assert reader.read([image]) == [text]

        class Failing:
            def infer(self, *_: Any, **__: Any) -> Any:
                raise RuntimeError("Failed to allocate")

        engine: Any = reader._recognizer._engine  # type: ignore[attr-defined]
        engine._graph._request = Failing()
        with pytest.raises(BackendError, match="Failed to allocate"):
            reader.read([image])
        with pytest.raises(BackendError, match="open the bundle anew"):
            reader.read([image])
