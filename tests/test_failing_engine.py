"""An engine that fails at a line, or for good: who is told, and that it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from ocrhpi.errors import BackendError
from ocrhpi.predictor import Predictor
from ocrhpi.reading.engine import EngineReader
from ocrhpi.recognition.tensors import to_tensor
from ocrhpi.testing import StripeBackend
from tests.test_predictor import MODEL, line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ocrhpi.model import Model
    from ocrhpi.values import Contents, Emissions, NetworkInput, Widths


class Sickly(StripeBackend):
    """Fails at batches of too many columns, or when it is told to."""

    def __init__(self, model: Model, most: int) -> None:
        super().__init__(model)
        self.most = most
        self.failures = 0
        self.dead = False
        self.kind: type[Exception] = MemoryError

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        if self.dead or batch.shape[0] * batch.shape[3] > self.most:
            self.failures += 1
            raise self.kind("no memory")
        return super()._run(batch, widths, contents, margin)


@pytest.fixture
def sickly() -> Iterator[tuple[Predictor, Sickly]]:
    backend = Sickly(MODEL, 1000)
    with Predictor(EngineReader(MODEL, backend.open(), batch_size=2)) as predictor:
        yield predictor, backend


def files(folder: Path, *images: np.ndarray) -> list[Path]:
    paths = [folder / f"{number}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        cv2.imwrite(str(path), image)
    return paths


def giant() -> np.ndarray:
    return np.repeat(line(3), 10, axis=1)[:, :2000]


@pytest.mark.parametrize("kind", [MemoryError, RuntimeError])
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_only_the_line_that_the_engine_fails_at_is_lost(
    sickly: tuple[Predictor, Sickly], tmp_path: Path, batch_size: int, kind: type[Exception]
) -> None:
    predictor, backend = sickly
    backend.kind = kind
    inputs = files(tmp_path, *map(line, range(6)), giant(), *map(line, range(6, 20)))
    backend.most = 10_000
    expected = [result["rec_text"] for result in predictor.predict(inputs, batch_size=batch_size)]
    backend.most = 1000
    for read in (predictor.predict, predictor.predict_iter):
        results = list(read(inputs, batch_size=batch_size, on_error="skip"))
        assert [result["error"] is None for result in results] == [path != inputs[6] for path in inputs]
        assert [result["rec_text"] for result in results] == [*expected[:6], "", *expected[7:]]
        bad = results[6]
        assert bad["input_path"] == str(inputs[6])
        assert "could not run a batch of shape (1, 3, 48, 2000)" in bad["error"]
        assert f"It was reading {inputs[6]}." in bad["error"]
    assert predictor.predict(inputs[7:], batch_size=batch_size)[0]["rec_text"] == expected[7], "it goes on"


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_raise_names_the_line_that_the_engine_fails_at_after_those_before_it(
    sickly: tuple[Predictor, Sickly], tmp_path: Path, batch_size: int
) -> None:
    predictor, _ = sickly
    inputs = files(tmp_path, line(1), line(2), giant(), line(4))
    results = predictor.predict_iter(inputs, batch_size=batch_size)
    assert [next(results)["input_path"] for _ in range(2)] == [str(path) for path in inputs[:2]]
    with pytest.raises(BackendError, match=r"no memory.*It was reading .*2\.png\.") as caught:
        next(results)
    assert caught.value.inputs == (str(inputs[2]),)
    assert predictor.predict(inputs[3], batch_size=batch_size)[0]["error"] is None


def test_a_batch_that_fails_is_no_failure_if_its_lines_can_be_read(
    sickly: tuple[Predictor, Sickly], caplog: pytest.LogCaptureFixture
) -> None:
    predictor, backend = sickly
    same = [np.ascontiguousarray(line(seed)[:, :90]) for seed in range(8)]
    alone = [predictor.predict(one)[0]["rec_text"] for one in same]
    assert [result["rec_text"] for result in predictor.predict(same, batch_size=8)] == alone
    assert backend.failures == 1
    assert "an image of 90 x 48 pixels" in caplog.text
    assert "and 4 more; the 8 lines are read one by one" in caplog.text


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_an_engine_that_is_dead_is_no_fault_of_the_lines(sickly: tuple[Predictor, Sickly], on_error: Any) -> None:
    predictor, backend = sickly
    backend.dead = True
    with pytest.raises(BackendError, match="no memory"):
        predictor.predict([line(1), line(2)], on_error=on_error)
    with pytest.raises(BackendError, match="no memory"):
        next(predictor.predict_iter(line(1), on_error=on_error))
    backend.dead = False
    assert len(predictor.predict([line(1), line(2)])) == 2


def test_lack_of_memory_beside_the_engine_is_of_the_line_too(
    sickly: tuple[Predictor, Sickly], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ocrhpi.reading import engine

    def short(images: Any, *arguments: Any, **options: Any) -> Any:
        if any(image.shape[1] == 1234 for image in images):
            raise MemoryError("Unable to allocate 9 GiB")
        return to_tensor(images, *arguments, **options)

    predictor, backend = sickly
    backend.most = 10_000
    monkeypatch.setattr(engine, "to_tensor", short)
    lines = [line(1), np.zeros((48, 1234, 3), np.uint8), line(2)]
    results = predictor.predict(lines, on_error="skip", batch_size=4)
    assert [result["error"] is None for result in results] == [True, False, True]
    assert "no memory for a batch of 1 x 48 x 1234 pixels (Unable to allocate 9 GiB)" in results[1]["error"]
    assert "It was reading an image of 1234 x 48 pixels." in results[1]["error"]


def test_a_fault_of_ours_is_not_skipped(sickly: tuple[Predictor, Sickly], monkeypatch: pytest.MonkeyPatch) -> None:
    predictor, _ = sickly

    def wrong(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(predictor.reader._decoder, "decode", wrong)  # type: ignore[attr-defined]
    with pytest.raises(ZeroDivisionError):
        predictor.predict([line(1), line(2)], on_error="skip")
