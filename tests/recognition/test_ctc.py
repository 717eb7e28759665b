from __future__ import annotations

import numpy as np
import pytest

from benchmarks.ctc_decode import decode_per_line
from ocrhpi.recognition.ctc import CtcDecoder
from ocrhpi.values import Emissions

LABELS = ("", *"abcde", "ss", " ")


def emissions(rows: list[list[int]], probs: list[list[float]] | None = None) -> Emissions:
    indices = np.array(rows, np.int32)
    return Emissions(indices, np.array(probs, np.float32) if probs else np.ones(indices.shape, np.float32))


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ([1, 1, 2, 0, 2], "abb"),  # repeats merge, a blank keeps them apart
        ([0, 0, 0, 0, 0], ""),
        ([0, 1, 0, 1, 1], "aa"),
        ([7, 1, 7, 7, 0], " a "),
        ([6, 6, 0, 6, 1], "ssssa"),  # a label of two code points
    ],
)
def test_best_path(row: list[int], text: str) -> None:
    (line,) = CtcDecoder(LABELS).decode(emissions([row]))
    assert line.text == text


def test_score_is_the_mean_of_the_kept_steps() -> None:
    (line,) = CtcDecoder(LABELS).decode(emissions([[1, 1, 0, 2]], [[0.5, 0.1, 0.9, 0.7]]))
    assert line.score == pytest.approx((0.5 + 0.7) / 2)


def test_empty_text_scores_zero() -> None:
    (line,) = CtcDecoder(LABELS).decode(emissions([[0, 0]], [[0.9, 0.9]]))
    assert (line.text, line.score) == ("", 0.0)


def test_no_lines_and_no_steps() -> None:
    decoder = CtcDecoder(LABELS)
    assert decoder.decode(Emissions(np.zeros((0, 5), np.int32), np.zeros((0, 5), np.float32))) == []
    (line,) = decoder.decode(Emissions(np.zeros((1, 0), np.int32), np.zeros((1, 0), np.float32)))
    assert (line.text, line.score) == ("", 0.0)


@pytest.mark.parametrize("seed", range(20))
def test_equals_a_plain_loop_over_the_lines(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.random((int(rng.integers(1, 9)), int(rng.integers(1, 40)), len(LABELS))).astype(np.float32)
    logits[..., 0] += rng.choice([0.0, 0.6])  # with few and with many blanks
    logits /= logits.sum(axis=-1, keepdims=True)
    lines = CtcDecoder(LABELS).decode(logits)
    reference = decode_per_line(logits, LABELS)
    assert [line.text for line in lines] == [text for text, _ in reference]
    np.testing.assert_allclose([line.score for line in lines], [score for _, score in reference], atol=1e-6)


def test_decoding_does_not_change_the_emissions() -> None:
    given = emissions([[1, 1, 0, 2]])
    before = given.indices.copy()
    CtcDecoder(LABELS).decode(given)
    np.testing.assert_array_equal(given.indices, before)


def test_ties_go_to_the_lowest_class_as_in_numpy() -> None:
    reduced = Emissions.from_probabilities(np.array([[[0.2, 0.4, 0.4]]], np.float32))
    assert reduced.indices.tolist() == [[1]]
    assert reduced.indices.dtype == np.int32
    assert reduced.probs.tolist() == [[np.float32(0.4)]]


def test_word_boxes_name_the_time_steps_of_the_kept_characters() -> None:
    (line,) = CtcDecoder(LABELS).decode_words(emissions([[0, 1, 1, 0, 2, 7, 3, 0]]), [0.5])
    assert line.text == "ab c"
    assert line.word_boxes is not None
    assert line.word_boxes.words == [["a", "b"], [" "], ["c"]]
    assert line.word_boxes.columns == [[1, 4], [5], [6]]
    assert line.word_boxes.column_count == 4.0
