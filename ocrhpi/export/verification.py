"""An exported graph against its source, on real lines at several widths and batch sizes."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from ocrhpi.errors import ExportError
from ocrhpi.recognition.decoding import decode_image
from ocrhpi.recognition.geometry import line_geometry
from ocrhpi.recognition.inputs import DEFAULT_LIMITS
from ocrhpi.recognition.tensors import to_tensor
from ocrhpi.values import LineGeometry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ocrhpi.backends.base import Backend
    from ocrhpi.values import Emissions, Pixels, Tensor, Widths

__all__ = ["PROBABILITY_TOLERANCE", "verify_equal"]

PROBABILITY_TOLERANCE = 1e-3
"""Largest difference of a top-1 probability; conversion alone makes up to 6e-4 on the deepest official model."""

_MIXED_BATCH = 4
_MIXED_STEP = 64


def verify_equal(source: Backend, exported: Backend) -> None:
    """Check that both backends, open, read the same in every line: equal classes, probabilities within the tolerance.

    Every line is run alone and in a batch: with itself for a plain graph, with lines of other widths, padded to the
    widest and rounded up, for a width-masked one.

    Raises:
        ExportError: They do not; the error counts and shows the differences.
    """
    spec = exported.model.spec
    images = _lines()
    geometries = [line_geometry(image.shape[1], image.shape[0], spec) for image in images]
    expected = [
        source.run(to_tensor([image], [geometry], spec)) for image, geometry in zip(images, geometries, strict=True)
    ]
    differing, steps, largest = 0, 0, 0.0
    for numbers, tensor, widths in _batches(images, geometries, exported):
        got = exported.run(tensor, widths)
        for row, number in enumerate(numbers):
            reference = expected[number]
            count = reference.indices.shape[1]
            steps += count
            differing += _differing_steps(got, row, reference)
            shared = min(count, got.probs.shape[1])
            gap = np.abs(got.probs[row, :shared] - reference.probs[0, :shared])
            largest = max(largest, float(gap.max(initial=0.0)))
    if differing or largest > PROBABILITY_TOLERANCE:
        raise ExportError(
            exported.model.path,
            "verification",
            f"the exported graph differs from its source in {differing} of {steps} time steps, probabilities by up to "
            f"{largest:.1e} (allowed: none, {PROBABILITY_TOLERANCE:g}); it is not kept",
        )


def _differing_steps(got: Emissions, row: int, reference: Emissions) -> int:
    """Count time steps of other classes; steps beyond the reference's must be blank, missing ones differ."""
    count = reference.indices.shape[1]
    indices = got.indices[row]
    if len(indices) < count:
        return int(count)
    return int(np.count_nonzero(indices[:count] != reference.indices[0])) + int(np.count_nonzero(indices[count:]))


def _batches(
    images: Sequence[Pixels], geometries: Sequence[LineGeometry], exported: Backend
) -> Iterator[tuple[list[int], Tensor, Widths | None]]:
    spec = exported.model.spec
    for number, (image, geometry) in enumerate(zip(images, geometries, strict=True)):
        exact = np.array([geometry.padded_width], np.int32)
        yield [number], to_tensor([image], [geometry], spec), exact if exported.masked else None
        if not exported.masked:
            yield [number, number, number], to_tensor([image] * 3, [geometry] * 3, spec), None
    if exported.masked:
        for start in range(0, len(images), _MIXED_BATCH):
            numbers = list(range(start, min(start + _MIXED_BATCH, len(images))))
            exact = np.array([geometries[number].padded_width for number in numbers], np.int32)
            width = -(-int(exact.max()) // _MIXED_STEP) * _MIXED_STEP
            padded = [LineGeometry(geometries[number].resized_width, width) for number in numbers]
            yield numbers, to_tensor([images[number] for number in numbers], padded, spec), exact


@lru_cache(maxsize=1)
def _lines() -> list[Pixels]:
    folder = resources.files("ocrhpi") / "export" / "lines"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".png")), key=lambda file: file.name)
    return [decode_image(file.read_bytes(), file.name, DEFAULT_LIMITS.max_pixels) for file in files]
