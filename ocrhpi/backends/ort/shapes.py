"""The fixed shapes of a graph's inputs: which batches will come, and the profiles that TensorRT builds for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


@dataclass(frozen=True)
class GraphInputs:
    """The inputs of a graph in its order: the batch, and int32 vectors with a number for each line.

    Attributes:
        names: Their names.
        pixels: Whether the batch is (N, H, W, C) uint8, else (N, C, H, W) float32.
        height: H, in pixels.
        channels: C of the images.
    """

    names: tuple[str, ...]
    pixels: bool
    height: int
    channels: int = 3

    def shapes(self, rows: int, width: int) -> list[tuple[int, ...]]:
        """Return the shape of each input for a batch of ``rows`` lines that are ``width`` pixels wide."""
        batch = (rows, self.height, width, self.channels) if self.pixels else (rows, self.channels, self.height, width)
        return [batch, *[(rows,)] * (len(self.names) - 1)]

    def sample(self, rows: int, width: int) -> list[npt.NDArray[Any]]:
        """Return a batch of empty lines of the full width."""
        batch, *vectors = self.shapes(rows, width)
        return [
            np.zeros(batch, np.uint8 if self.pixels else np.float32),
            *(np.full(shape, width, np.int32) for shape in vectors),
        ]

    def shape_of(self, batch: npt.NDArray[Any]) -> tuple[int, int]:
        """Return (rows, width) of a batch."""
        return batch.shape[0], batch.shape[2 if self.pixels else 3]


@dataclass(frozen=True)
class Profile:
    """A range of batches that one TensorRT engine takes.

    Attributes:
        least: (rows, width) of the smallest.
        best: (rows, width) of those it is quickest for.
        most: (rows, width) of the largest.
    """

    least: tuple[int, int]
    best: tuple[int, int]
    most: tuple[int, int]

    def holds(self, shape: tuple[int, int]) -> bool:
        """Whether a batch of this (rows, width) is in the range."""
        return all(low <= size <= high for low, size, high in zip(self.least, shape, self.most, strict=True))


def fixed_shapes(shapes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return (rows, width) of every batch to come, narrow ones first: rows are the powers of two up to the most.

    Args:
        shapes: (most rows, width) of each width, as in the option ``shapes``.
    """
    found = {
        (rows, width)
        for most, width in shapes
        for rows in (*(1 << power for power in range(most.bit_length() - 1)), most)
    }
    return sorted(found, key=lambda shape: (shape[1], -shape[0]))


def bucket_profiles(shapes: Sequence[tuple[int, int]]) -> list[Profile]:
    """Return a profile for each width, with any number of lines, the most being the best."""
    return [Profile((1, width), (most, width), (most, width)) for most, width in shapes]


def covering_profile(shapes: Sequence[tuple[int, int]]) -> Profile:
    """Return one profile for all widths: full batches of the narrowest are the best, since most lines are narrow."""
    widths = [width for _, width in shapes]
    best = min(shapes, key=lambda shape: shape[1])
    return Profile((1, min(widths)), best, (max(rows for rows, _ in shapes), max(widths)))


def profile_text(inputs: GraphInputs, batches: Sequence[tuple[int, int]]) -> str:
    """Write one bound of each profile as ONNX Runtime reads them: ``x:1x3x48x320,widths:1,x:1x3x48x480,widths:1``.

    Args:
        inputs: The inputs of the graph.
        batches: (rows, width) of the bound, for each profile.
    """
    return ",".join(
        f"{name}:{'x'.join(map(str, shape))}"
        for batch in batches
        for name, shape in zip(inputs.names, inputs.shapes(*batch), strict=True)
    )
