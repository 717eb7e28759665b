"""The lines that the table is made on: those of the tuning, the real ones, and the hard ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrhpi.recognition.decoding import decode_image
from ocrhpi.recognition.inputs import DEFAULT_LIMITS, read_lines
from ocrhpi.recognition.labels import read_labels
from ocrhpi.tuning.calibration import load_calibration
from ocrhpi.tuning.gate import KnownLine
from ocrhpi.values import LineImage

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CALIBRATION", "HARD", "REAL", "LineSet", "load_sets"]

CALIBRATION, REAL, HARD = "calibration", "real", "hard"


@dataclass(frozen=True)
class LineSet:
    """Lines with what is known of them, in the same order.

    Attributes:
        images: What is read.
        known: Name and, if it is known, text of each.
    """

    images: tuple[LineImage, ...]
    known: tuple[KnownLine, ...]


def load_sets(real: Path, hard: Path) -> dict[str, LineSet]:
    """Load the three sets; ``hard`` is a folder that ``benchmarks.hard_lines`` made."""
    shipped = load_calibration().lines
    return {
        CALIBRATION: LineSet(
            tuple(LineImage(line.pixels) for line in shipped),
            tuple(KnownLine(line.name, line.text) for line in shipped),
        ),
        REAL: _real(real),
        HARD: _labelled(hard),
    }


def _real(folder: Path) -> LineSet:
    images = [line for line in read_lines(str(folder)) if isinstance(line, LineImage)]
    return LineSet(tuple(images), tuple(KnownLine(str(image.input_path)) for image in images))


def _labelled(folder: Path) -> LineSet:
    labels = read_labels(folder / "rec_gt.txt", "hard")
    pixels = [
        decode_image((folder / label.path).read_bytes(), label.path, DEFAULT_LIMITS.max_pixels) for label in labels
    ]
    return LineSet(tuple(map(LineImage, pixels)), tuple(KnownLine(label.path, label.text) for label in labels))
