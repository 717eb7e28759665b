"""PaddleOCR's metric against values worked out by hand."""

from __future__ import annotations

import pytest

from ocrhpi.evaluation.evaluate import Metric, unwritable

DEFAULT = Metric()
LABELS = ("", "a", "b", "c", "A", "1", "é", "🇫🇷", " ")


@pytest.mark.parametrize(
    ("expected", "read", "distance"),
    [
        ("kitten", "sitting", 3 / 7),  # two letters replaced, one added; the longer one has seven
        ("sitting", "kitten", 3 / 7),
        ("你好", "你", 1 / 2),
        ("abc", "", 1.0),
        ("", "x", 1.0),
        ("", "", 0.0),
        ("abc", "ABC", 1.0),
        ("a b c", "abc", 0.0),
        ("a\u3000b", "ab", 1 / 3),  # a wide space is none of those that do not count
    ],
)
def test_distances(expected: str, read: str, distance: float) -> None:
    assert DEFAULT.distance(expected, read) == pytest.approx(distance, abs=1e-12)


def test_spaces_count_if_told_so() -> None:
    assert Metric(ignore_space=False).distance("ab c", "abc") == pytest.approx(1 / 4)


def test_the_filter_keeps_digits_and_letters_of_ascii_in_lower_case() -> None:
    metric = Metric(ignore_space=False, is_filter=True)
    assert metric.comparable(" É-Ab_1２你,Z ") == "ab1z"
    assert metric.distance("No. 5", "no5!") == 0.0
    assert metric.distance("你好", "再见") == 0.0


def test_both_figures_hold_paddleocrs_guard_against_a_division_by_zero() -> None:
    pairs = [("kitten", "sitting"), ("ab c", "abc"), ("你好", "你"), ("", "")]
    distances = [DEFAULT.distance(*pair) for pair in pairs]
    assert DEFAULT.accuracy(2, 4) == pytest.approx(0.49999875000312497, abs=1e-15)  # 2 / 4.00001
    assert DEFAULT.norm_edit_distance(distances, 4) == pytest.approx(1 - (3 / 7 + 1 / 2) / 4.00001, abs=1e-15)
    assert DEFAULT.accuracy(0, 0) == 0.0
    assert DEFAULT.norm_edit_distance([], 0) == 1.0


def test_texts_beyond_the_vocabulary_are_counted_and_their_characters_named() -> None:
    found = unwritable(["abc", "", "a b", "🇫🇷", "xay", "xé", "🇫"], LABELS, DEFAULT)
    assert found.lines == 3
    assert found.characters == ("x", "y", "🇫")


def test_only_what_is_compared_must_be_in_the_vocabulary() -> None:
    assert unwritable(["a b"], ("", "a", "b"), DEFAULT).lines == 0
    assert unwritable(["a b"], ("", "a", "b"), Metric(ignore_space=False)).characters == (" ",)
    assert unwritable(["你B-a"], ("", "a", "b"), Metric(is_filter=True)).lines == 0
