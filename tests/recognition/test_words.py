from __future__ import annotations

import pytest

from ocrhpi.recognition.ctc import word_boxes


def group(text: str) -> list[tuple[str, str]]:
    boxes = word_boxes(list(text), range(len(text)), len(text))
    return [("".join(word), kind) for word, kind in zip(boxes.words, boxes.kinds, strict=True)]


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("", []),
        ("你好", [("你好", "cn")]),
        ("VGG-16", [("VGG-16", "en&num")]),
        ("1.5", [("1.5", "en&num")]),
        ("end.", [("end", "en&num"), (".", "symbol")]),
        ("v.x", [("v", "en&num"), (".", "symbol"), ("x", "en&num")]),
        ("-5", [("-", "symbol"), ("5", "en&num")]),
        ("价￥10起", [("价", "cn"), ("￥", "symbol"), ("10", "en&num"), ("起", "cn")]),
        ("a b", [("a", "en&num"), (" ", "symbol"), ("b", "en&num")]),
    ],
)
def test_runs_of_one_kind(text: str, groups: list[tuple[str, str]]) -> None:
    assert group(text) == groups


def test_columns_follow_their_characters() -> None:
    boxes = word_boxes(["a", "b", "中"], [3, 5, 9], 20.0)
    assert boxes.columns == [[3, 5], [9]]
    assert boxes.column_count == 20.0
