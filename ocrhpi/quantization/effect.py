"""What lowering does to the calibration lines: texts that change, and how far probabilities move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ocrhpi.recognition.ctc import CtcDecoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.backends.base import Backend
    from ocrhpi.values import Emissions, Tensor


@dataclass(frozen=True)
class Effect:
    """How a lowered graph differs from FP32.

    Attributes:
        changed: Lines whose text changed.
        shift: Root mean square change of the top-1 probability over all time steps; where the class itself changed,
            of the larger of the two probabilities, as if the other were 0.
    """

    changed: int
    shift: float


class Reference:
    """What FP32 reads on the calibration lines.

    Args:
        backend: An open backend in FP32.
        tensors: Batches of lines, see `ocrhpi.quantization.lines.line_tensors`.
    """

    def __init__(self, backend: Backend, tensors: Sequence[Tensor]) -> None:
        self._tensors = tensors
        self._decoder = CtcDecoder(backend.model.labels)
        self._read = [backend.run(tensor) for tensor in tensors]
        self.lines = sum(len(tensor) for tensor in tensors)

    def effect(self, lowered: Backend) -> Effect:
        """Read the lines with an open backend that holds a lowered graph."""
        changed, squares, steps = 0, 0.0, 0
        for tensor, expected in zip(self._tensors, self._read, strict=True):
            got = lowered.run(tensor)
            texts = zip(self._decoder.decode(expected), self._decoder.decode(got), strict=True)
            changed += sum(right.text != line.text for right, line in texts)
            squares += float((_shifts(expected, got) ** 2).sum())
            steps += got.probs.size
        return Effect(changed, (squares / steps) ** 0.5)


def _shifts(expected: Emissions, got: Emissions) -> np.ndarray:
    same = expected.indices == got.indices
    return np.where(same, np.abs(expected.probs - got.probs), np.maximum(expected.probs, got.probs))
