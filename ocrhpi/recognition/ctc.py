"""Step 6: emissions -> text and score, by greedy CTC decoding over the whole batch at once.

And the reading order of right-to-left scripts, which PaddleOCR's networks emit as they stand in the image.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ocrhpi.values import Emissions, TextLine, WordBoxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.values import Probabilities

_IDEOGRAPHS = ("\u4e00", "\u9fff")
_ALPHANUMERIC = re.compile("[a-zA-Z0-9]")
_DIGIT = re.compile("[0-9]")


def word_boxes(characters: Sequence[str], columns: Sequence[int], column_count: float) -> WordBoxes:
    """Group the characters of one line into runs of one kind.

    The rules are PaddleX's: CJK ideographs, ASCII letters with digits, and all other characters form runs of
    their own; within letters and digits a point before a digit ("1.5") and a hyphen ("VGG-16") do not end the run.

    Args:
        characters: The emitted labels of the line.
        columns: The 0-based time step of each.
        column_count: Time steps that cover the line without its right padding.
    """
    boxes = WordBoxes(column_count, [], [], [])
    for position, (character, column) in enumerate(zip(characters, columns, strict=True)):
        following = characters[position + 1] if position + 1 < len(characters) else ""
        kind = _kind(character, following, boxes.kinds[-1] if boxes.kinds else "")
        if not boxes.kinds or boxes.kinds[-1] != kind:
            boxes.words.append([])
            boxes.columns.append([])
            boxes.kinds.append(kind)
        boxes.words[-1].append(character)
        boxes.columns[-1].append(column)
    return boxes


def _kind(character: str, following: str, running: str) -> str:
    if running == "en&num" and (character == "-" or (character == "." and _DIGIT.search(following))):
        return "en&num"
    if _IDEOGRAPHS[0] <= character <= _IDEOGRAPHS[1]:
        return "cn"
    return "en&num" if _ALPHANUMERIC.search(character) else "symbol"


BLANK = 0


class CtcDecoder:
    """Greedy CTC decoder for one vocabulary.

    Args:
        labels: Text of every class; class 0 is the blank. A label may be several code points.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        # An array of objects, so that one fancy index turns all kept classes of a batch into their labels.
        self._labels = np.array(labels, dtype=object)
        self._lengths = np.array([len(label) for label in labels])

    def decode(self, network_output: Emissions | Probabilities) -> list[TextLine]:
        """Read the N lines of a batch.

        Graves et al., "Connectionist Temporal Classification", 2006, best-path decoding: of the most probable
        class per time step keep those that differ from the step before, then drop blanks. The score is
        PaddleOCR's: the mean probability of the kept steps, 0.0 where none is kept.

        Args:
            network_output: `Emissions` of (N, T), or full probabilities (N, T, classes), float32.
        """
        emissions = _emissions(network_output)
        keep = kept_steps(emissions)
        kept = emissions.indices.ravel()[np.flatnonzero(keep)]
        counts = np.count_nonzero(keep, axis=1)
        # One join for the whole batch, cut where the lines end; in code points, since a label may have several.
        joined = "".join(self._labels[kept].tolist())
        offsets = np.concatenate(([0], np.cumsum(self._lengths[kept])))[np.concatenate(([0], np.cumsum(counts)))]
        scores = (emissions.probs * keep).sum(axis=1, dtype=np.float64) / np.maximum(counts, 1)
        return [
            TextLine(joined[start:end], score)
            for (start, end), score in zip(pairwise(offsets.tolist()), scores.tolist(), strict=True)
        ]

    def decode_words(
        self, network_output: Emissions | Probabilities, text_fractions: Sequence[float]
    ) -> list[TextLine]:
        """Read the N lines of a batch with their word boxes.

        Args:
            network_output: As for `decode`.
            text_fractions: For each line, the share of the padded width that the line itself covers.
        """
        emissions = _emissions(network_output)
        keep = kept_steps(emissions)
        steps = emissions.indices.shape[1]
        steps_of = [steps] * len(keep) if emissions.steps is None else emissions.steps.tolist()
        lines = []
        for row, line in enumerate(self.decode(emissions)):
            characters = self._labels[emissions.indices[row, keep[row]]].tolist()
            columns = np.flatnonzero(keep[row]).tolist()
            boxes = word_boxes(characters, columns, steps_of[row] * text_fractions[row])
            lines.append(TextLine(line.text, line.score, boxes))
        return lines


def _emissions(network_output: Emissions | Probabilities) -> Emissions:
    if isinstance(network_output, Emissions):
        return network_output
    return Emissions.from_probabilities(network_output)


def kept_steps(emissions: Emissions) -> npt.NDArray[np.bool_]:
    """Return the mask, (N, T), of time steps that emit a character."""
    indices = emissions.indices
    keep: npt.NDArray[np.bool_] = indices != BLANK
    keep[:, 1:] &= indices[:, 1:] != indices[:, :-1]
    return keep


def to_reading_order(line: TextLine) -> TextLine:
    """Turn the right-to-left runs of the text around, by the Unicode bidirectional algorithm (UAX #9), as PaddleX does.

    Word boxes stay as they were read, from left to right.
    """
    from bidi import get_display  # noqa: PLC0415 - needed by a few models only

    return replace(line, text=str(get_display(line.text)))
