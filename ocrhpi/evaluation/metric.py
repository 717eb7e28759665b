"""The metric of text recognition, as PaddleOCR defines it, and which texts a model cannot write."""

from __future__ import annotations

import string
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrhpi.tuning.gate import can_write

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_KEPT = frozenset(string.digits + string.ascii_letters)
_EPSILON = 1e-5  # PaddleOCR's guard against a division by zero; part of every figure that it prints


@dataclass(frozen=True, slots=True)
class Metric:
    """How PaddleOCR's ``RecMetric`` compares a text that was read with the one that is written on the line.

    The definition is that of ``ppocr/metrics/rec_metric.py`` in PaddleOCR 3, of which this is another writing. Accuracy
    is lines of equal text / (lines + 0.00001). Normalised edit distance is 1 - sum of (edit distance / length of the
    longer text) / (lines + 0.00001), where two empty texts are at distance 0. Both are better the higher.

    Attributes:
        ignore_space: Spaces (U+0020) do not count.
        is_filter: Only the digits and letters of ASCII count, upper case as lower case.
    """

    ignore_space: bool = True
    is_filter: bool = False

    def comparable(self, text: str) -> str:
        """Return what of ``text`` counts."""
        if self.ignore_space:
            text = text.replace(" ", "")
        if self.is_filter:
            text = "".join(char for char in text if char in _KEPT).lower()
        return text

    def distance(self, expected: str, read: str) -> float:
        """Return the edit distance of what counts over the longer length: 0.0 for equal texts, at most 1.0."""
        # Here, since what only parses a command line compares nothing.
        from rapidfuzz.distance import Levenshtein  # noqa: PLC0415

        return Levenshtein.normalized_distance(self.comparable(read), self.comparable(expected))

    @staticmethod
    def accuracy(correct: int, lines: int) -> float:
        """Return the share of lines that were read exactly."""
        return correct / (lines + _EPSILON)

    @staticmethod
    def norm_edit_distance(distances: Iterable[float], lines: int) -> float:
        """Return 1 minus the mean of the distances."""
        return 1 - sum(distances) / (lines + _EPSILON)


@dataclass(frozen=True, slots=True)
class Unwritable:
    """Texts that a model cannot read exactly, since its vocabulary cannot write them.

    Attributes:
        lines: How many texts.
        characters: The characters in them that are not in the vocabulary, the most frequent first.
    """

    lines: int
    characters: tuple[str, ...]


def unwritable(texts: Iterable[str], labels: Collection[str], metric: Metric) -> Unwritable:
    """Count the texts that cannot be put together from ``labels``, as far as the metric looks at them.

    PaddleOCR's own evaluation leaves such characters out of a text before it compares, and so finds more lines right.

    Args:
        texts: What is written on the lines.
        labels: What the classes of the model stand for, `ocrhpi.model.Model.labels`.
        metric: How texts are compared.
    """
    known = frozenset(map(metric.comparable, labels))
    lines = 0
    characters: Counter[str] = Counter()
    for text in map(metric.comparable, texts):
        unknown = [char for char in text if char not in known]
        if unknown and not can_write(text, known):  # a class may stand for several characters at once
            lines += 1
            characters.update(unknown)
    return Unwritable(lines, tuple(char for char, _ in characters.most_common()))
