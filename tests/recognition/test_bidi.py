from __future__ import annotations

from ocrhpi.recognition.ctc import to_reading_order
from ocrhpi.values import TextLine


def test_right_to_left_runs_are_reversed_and_numbers_are_not() -> None:
    line = to_reading_order(TextLine("\u0627\u0628\u062c 123", 0.5))
    assert line.text == "123 \u062c\u0628\u0627"
    assert line.score == 0.5


def test_left_to_right_text_stays() -> None:
    assert to_reading_order(TextLine("abc 12", 1.0)).text == "abc 12"
