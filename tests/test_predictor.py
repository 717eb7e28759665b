"""The pipeline on a backend without an engine: order, windows, errors, threads; all at once and one by one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from ocrhpi.errors import BackendClosed, OptionError, UnreadableInput, UnsupportedInput
from ocrhpi.model import Model, ModelFiles
from ocrhpi.predictor import Predictor
from ocrhpi.reading import stream
from ocrhpi.reading.engine import EngineReader
from ocrhpi.testing import StripeBackend
from ocrhpi.values import InputSpec
from tests.reading.fake_reader import FakeReader
from tests.reading.fake_reader import line as blank

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = Model("stripes", Path("stripes"), ModelFiles(), InputSpec(), tuple("abcdefghijklmnopqrstuvwxyz"))


@pytest.fixture
def predictor() -> Iterator[Predictor]:
    with Predictor(EngineReader(MODEL, StripeBackend(MODEL).open())) as predictor:
        yield predictor


def line(seed: int) -> np.ndarray:
    """Vertical stripes of random brightness, of one of a few sizes."""
    rng = np.random.default_rng(seed)
    width = int(rng.choice([90, 160, 320, 400, 777]))
    stripes = np.repeat(rng.integers(0, 256, width // 20 + 1), 20)[:width].astype(np.uint8)
    return np.tile(stripes[None, :, None], (48, 1, 3))


def test_results_come_in_input_order_and_do_not_depend_on_the_batch_size(predictor: Predictor) -> None:
    lines = [line(seed) for seed in range(60)]
    alone = [result["rec_text"] for result in predictor.predict_iter(lines)]
    assert len(set(alone)) > 50, "the lines must differ, else order proves nothing"
    for batch_size in (2, 7, 64):
        assert [result["rec_text"] for result in predictor.predict_iter(lines, batch_size=batch_size)] == alone


def test_read_takes_lines_that_are_in_memory(predictor: Predictor) -> None:
    assert predictor.reader.read([]) == []


def test_reading_is_lazy_and_runs_few_batches_ahead(predictor: Predictor) -> None:
    taken = 0

    def stream() -> Iterator[np.ndarray]:
        nonlocal taken
        while True:
            taken += 1
            yield line(taken)

    results = predictor.predict_iter(stream(), batch_size=1)
    assert taken == 0
    next(results)
    assert taken == 1
    results = predictor.predict_iter(stream(), batch_size=8)
    next(results)
    assert taken <= 1 + 8 * 8


def test_raise_names_the_file_after_the_results_before_it(predictor: Predictor, tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    cv2.imwrite(str(good), line(0))
    missing = tmp_path / "missing.png"
    results = predictor.predict_iter([good, good, missing, good], batch_size=8)
    assert [next(results)["input_path"] for _ in range(2)] == [str(good)] * 2
    with pytest.raises(UnreadableInput, match=r"missing\.png"):
        next(results)


@pytest.mark.parametrize("batch_size", [1, 8])
def test_skip_yields_a_result_with_the_error_and_goes_on(predictor: Predictor, tmp_path: Path, batch_size: int) -> None:
    good = tmp_path / "good.png"
    cv2.imwrite(str(good), line(0))
    mixed = [good, tmp_path / "missing.png", None, line(1), b"no image", good]
    results = list(predictor.predict_iter(mixed, batch_size=batch_size, on_error="skip"))  # type: ignore[arg-type]
    assert [result["error"] is None for result in results] == [True, False, False, True, False, True]
    assert results[0]["rec_text"] == results[5]["rec_text"] != ""
    assert "missing.png" in results[1]["error"]
    assert (results[1]["rec_text"], results[1]["rec_score"]) == ("", 0.0)


def test_unsupported_objects_raise_a_type_error(predictor: Predictor) -> None:
    with pytest.raises(UnsupportedInput, match="NoneType"):
        list(predictor.predict_iter(None))  # type: ignore[arg-type]


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, "4", True, np.bool_(1), np.float64(4.5), np.int64(0), [4]])
def test_batch_sizes_that_do_not_fit(predictor: Predictor, batch_size: object) -> None:
    with pytest.raises(OptionError, match="batch_size"):
        predictor.predict_iter([], batch_size=batch_size)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch_size", [np.int64(4), np.uint8(4), np.array(4)])
def test_batch_sizes_of_numpy(batch_size: Any) -> None:
    reader = FakeReader("reader")
    with Predictor(reader) as predictor:
        assert len(predictor.predict([blank(1).pixels] * 3, batch_size=batch_size)) == 3
        assert len(list(predictor.predict_iter([blank(1).pixels] * 3, batch_size=batch_size))) == 3
        assert reader.calls == [(3, 4, False)] * 2
        assert {type(size) for _, size, _ in reader.calls} == {int}


@pytest.mark.parametrize("nothing", [[], (), iter([]), [[], ()]])
def test_no_inputs_are_no_results(predictor: Predictor, nothing: Any) -> None:
    assert predictor.predict(nothing) == []
    assert list(predictor.predict_iter(nothing, batch_size=8)) == []


def test_on_error_that_does_not_fit(predictor: Predictor) -> None:
    with pytest.raises(OptionError, match="expected 'raise' or 'skip'"):
        predictor.predict_iter([], on_error="ignore")  # type: ignore[arg-type]


def test_many_threads_get_the_sequential_results(predictor: Predictor) -> None:
    jobs = [[line(job * 10 + number) for number in range(10)] for job in range(16)]

    def texts(job: list[np.ndarray]) -> list[str]:
        return [result["rec_text"] for result in predictor.predict_iter(job, batch_size=4)]

    sequential = [texts(job) for job in jobs]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(texts, jobs)) == sequential


def test_word_boxes_are_those_of_the_line_alone(predictor: Predictor) -> None:
    lines = [line(seed) for seed in range(12)]
    alone = [next(predictor.predict_iter(one, return_word_box=True))["rec_text"] for one in lines]
    together = [result["rec_text"] for result in predictor.predict_iter(lines, batch_size=8, return_word_box=True)]
    assert together == alone
    for (text, (column_count, words, columns, kinds)), image in zip(alone, lines, strict=True):
        assert "".join("".join(word) for word in words) == text
        assert len(words) == len(columns) == len(kinds)
        steps = max(320, image.shape[1]) // 8
        assert column_count == pytest.approx(steps * min(1.0, image.shape[1] / 320))


@pytest.mark.parametrize("batch_size", [None, 1, 7, 64])
def test_all_at_once_is_what_comes_one_by_one(predictor: Predictor, tmp_path: Path, batch_size: int | None) -> None:
    good = tmp_path / "good.png"
    cv2.imwrite(str(good), line(0))
    source: list[Any] = [
        *(line(seed) for seed in range(300)),
        good,
        tmp_path / "missing.png",
        b"no image",
        line(1),
        good,
    ]
    for words in (False, True):
        one_by_one, at_once = (
            read(source, batch_size=batch_size, on_error="skip", return_word_box=words)
            for read in (predictor.predict_iter, predictor.predict)
        )
        expected = list(one_by_one)
        assert isinstance(at_once, list)
        for key in ("input_path", "rec_text", "rec_score", "error"):
            assert [result[key] for result in at_once] == [result[key] for result in expected]


def test_all_at_once_reads_windows_of_256_lines() -> None:
    reader = FakeReader("reader")
    with Predictor(reader) as predictor:
        results = predictor.predict(blank(1 + number).pixels for number in range(600))
        assert [result["rec_text"] for result in results] == [f"reader:{1 + number}" for number in range(600)]
        assert reader.calls == [(256, None, False), (256, None, False), (88, None, False)]
        reader.calls.clear()
        predictor.predict([blank(1).pixels] * 300, batch_size=1, return_word_box=True)
        assert reader.calls == [(256, 1, True), (44, 1, True)]
        reader.calls.clear()
        predictor.predict([blank(1).pixels] * 600, batch_size=64)
        assert reader.calls == [(512, 64, False), (88, 64, False)], "eight of its batches"


def test_one_by_one_each_result_comes_as_soon_as_it_is_read() -> None:
    reader = FakeReader("reader")
    with Predictor(reader) as predictor:
        results = predictor.predict_iter(blank(1 + number).pixels for number in range(600))
        for number in range(3):
            assert next(results)["rec_text"] == f"reader:{1 + number}"
            assert reader.calls == [(1, None, False)] * (number + 1)


@pytest.mark.parametrize("batch_size", [1, 8])
def test_no_window_holds_many_more_bytes_than_it_may(monkeypatch: pytest.MonkeyPatch, batch_size: int) -> None:
    lines = [blank(width).pixels for width in (1000, 10, 2000, 10, 4000, 5000, 10, 10)]
    monkeypatch.setattr(stream, "WINDOW_BYTES", sum(pixels.nbytes for pixels in lines[:3]))
    reader = FakeReader("reader")
    with Predictor(reader) as predictor:
        predictor.predict(lines, batch_size=batch_size)
        assert [count for count, *_ in reader.calls] == [3, 2, 1, 2]
        reader.calls.clear()
        list(predictor.predict_iter(lines, batch_size=8))
        assert [count for count, *_ in reader.calls] == [3, 2, 1, 2]


def test_all_at_once_raises_before_anything_behind_the_fault_is_read(tmp_path: Path) -> None:
    reader = FakeReader("reader")
    with Predictor(reader) as predictor:
        with pytest.raises(UnreadableInput, match=r"missing\.png"):
            predictor.predict([blank(5).pixels, tmp_path / "missing.png", blank(6).pixels])
        assert reader.calls == [(1, None, False)]
        wrong: list[dict[str, Any]] = [{"batch_size": 0}, {"on_error": "ignore"}]
        for options in wrong:
            with pytest.raises(OptionError, match=next(iter(options))):
                predictor.predict([], **options)
        assert predictor.predict([]) == []


def test_many_threads_get_the_sequential_results_all_at_once(predictor: Predictor) -> None:
    jobs = [[line(job * 10 + number) for number in range(10)] for job in range(16)]
    sequential = [[result["rec_text"] for result in predictor.predict_iter(job)] for job in jobs]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(predictor.predict, jobs))
    assert [[result["rec_text"] for result in results] for results in found] == sequential


def test_closing_closes_the_backend(predictor: Predictor) -> None:
    predictor.close()
    predictor.close()
    with pytest.raises(BackendClosed):
        list(predictor.predict_iter(line(0)))


class CallersError(Exception):
    """What an iterator of the caller raises."""


def failing(error: Exception, count: int) -> Iterator[np.ndarray]:
    for seed in range(count):
        yield line(seed)
    raise error


@pytest.mark.parametrize("on_error", ["raise", "skip"])
@pytest.mark.parametrize(("batch_size", "count"), [(1, 3), (4, 3), (4, 50), (4, 0), (None, 5)])
def test_what_a_stream_gave_before_it_failed_is_read_first(
    predictor: Predictor, batch_size: int | None, count: int, on_error: Any
) -> None:
    expected = [result["rec_text"] for result in predictor.predict([line(seed) for seed in range(count)])]
    for error in (CallersError("mine"), UnreadableInput("mine", "is not ours")):
        texts: list[str] = []
        results = predictor.predict_iter(failing(error, count), batch_size=batch_size, on_error=on_error)
        with pytest.raises(type(error)) as caught:
            texts.extend(result["rec_text"] for result in results)
        assert caught.value is error
        assert texts == expected
        with pytest.raises(type(error)) as caught:
            predictor.predict(failing(error, count), batch_size=batch_size, on_error=on_error)
        assert caught.value is error


def test_a_stream_within_a_list_that_fails(predictor: Predictor) -> None:
    results = predictor.predict_iter([line(1), failing(CallersError("mine"), 2), line(2)], batch_size=8)
    assert [next(results)["error"] for _ in range(3)] == [None] * 3
    with pytest.raises(CallersError, match="mine"):
        next(results)
