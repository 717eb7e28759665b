"""The search for the layers that stay in FP32.

Each group of layers is lowered alone, and how far probabilities move is its harm. What does most harm for the work that
it saves is kept first, and no more of it than it takes for all texts to be equal, or until so much work is kept that
nothing would be gained. The noise of single layers adds up nearly independently, so that one order serves all lengths,
and the length is found by bisection. All of it is bounded by counts, not by time, and gives the same plan every time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ocrhpi.recognition.ctc import CtcDecoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ocrhpi.backends.base import Backend
    from ocrhpi.quantization.quantize import Layer
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
        tensors: Batches of lines, see `ocrhpi.quantization.statistics.line_tensors`.
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
            squares += float((_differences(expected, got) ** 2).sum())
            steps += got.probs.size
        return Effect(changed, (squares / steps) ** 0.5)


def _differences(expected: Emissions, got: Emissions) -> np.ndarray:
    same = expected.indices == got.indices
    return np.where(same, np.abs(expected.probs - got.probs), np.maximum(expected.probs, got.probs))


MIN_LOWERED = 0.5
"""At least this share of the work that can be lowered is lowered, whatever that does to the texts: with less of it, a
plan is hardly quicker than FP32. Whether its texts will do is for the gate to say."""

MAX_GROUPS = 24
"""Neighbouring layers of least work are measured together until there are no more groups than that."""


class Measure(Protocol):
    """Lowers all layers but those in ``kept`` and reads calibration lines."""

    def __call__(self, kept: frozenset[str], *, quick: bool) -> Effect:
        """Return what changes; on the first lines only, if ``quick``."""


@dataclass(frozen=True)
class Tried:
    """One assignment that was read in full.

    Attributes:
        kept: Layers in FP32.
        effect: What it changes.
    """

    kept: frozenset[str]
    effect: Effect


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        tried: Assignments that were read in full; the last one is the result.
        shifts: Layer -> shift of the probabilities when its group alone is lowered; empty where it was not needed.
    """

    tried: tuple[Tried, ...]
    shifts: dict[str, float]


def search(
    layers: Sequence[Layer],
    measure: Measure,
    advance: Callable[[str], object] = lambda _: None,
    *,
    least_lowered: float = MIN_LOWERED,
) -> Found:
    """Find the layers to keep in FP32.

    Args:
        layers: Those that may be lowered.
        measure: Lowers and reads.
        advance: Is told what is done, before each reading.
        least_lowered: Share of the work of ``layers`` that is lowered in any case.
    """
    advance("all layers lowered")
    tried = [Tried(frozenset(), measure(frozenset(), quick=False))]
    if not tried[0].effect.changed:
        return Found(tuple(tried), {})
    groups = merge(layers, MAX_GROUPS)
    shifts = _shifts(groups, measure, advance)
    harm = [shift**2 / sum(layer.work for layer in group) for shift, group in zip(shifts, groups, strict=True)]
    order = [groups[number] for number in sorted(range(len(groups)), key=lambda number: -harm[number])]
    failing, passing = 0, _most_kept(order, least_lowered) + 1  # one more than allowed stands for what would pass
    count = passing - 1
    while count > failing:
        kept = frozenset(layer.name for group in order[:count] for layer in group)
        advance(f"{len(kept)} of {len(layers)} layers kept in FP32")
        tried.append(Tried(kept, measure(kept, quick=False)))
        failing, passing = (count, passing) if tried[-1].effect.changed else (failing, count)
        count = (failing + passing) // 2
    # The last of those that pass keeps least; where none passes, the first keeps as much as is allowed.
    passed = [one for one in tried if not one.effect.changed]
    result = passed[-1] if passed else max(tried, key=lambda one: len(one.kept))
    others = [one for one in tried if one is not result]
    return Found(
        (*others, result),
        {layer.name: shift for shift, group in zip(shifts, groups, strict=True) for layer in group},
    )


def merge(layers: Sequence[Layer], most: int) -> list[list[Layer]]:
    """Return neighbouring layers together, the pairs of least work first, until there are at most ``most`` groups."""
    groups = [[layer] for layer in layers]
    while len(groups) > most:
        work = [sum(layer.work for layer in group) for group in groups]
        first = min(range(len(groups) - 1), key=lambda number: work[number] + work[number + 1])
        groups[first : first + 2] = [groups[first] + groups[first + 1]]
    return groups


def _shifts(groups: Sequence[Sequence[Layer]], measure: Measure, advance: Callable[[str], object]) -> list[float]:
    """Lower each group alone; return the shift of each."""
    names = frozenset(layer.name for group in groups for layer in group)
    shifts = []
    for number, group in enumerate(groups, start=1):
        advance(f"group {number} of {len(groups)} alone")
        shifts.append(measure(names - {layer.name for layer in group}, quick=True).shift)
    return shifts


def _most_kept(order: Sequence[Sequence[Layer]], least_lowered: float) -> int:
    """Return how many of the first groups may be kept."""
    work = [sum(layer.work for layer in group) for group in order]
    kept, count = 0.0, 0
    while count < len(work) and kept + work[count] <= (1 - least_lowered) * sum(work):
        kept += work[count]
        count += 1
    return count
