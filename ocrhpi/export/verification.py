"""An exported graph against its source, on real lines at several widths and batch sizes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from ocrhpi.errors import ExportError
from ocrhpi.recognition.decoding import decode_image
from ocrhpi.recognition.geometry import line_geometry
from ocrhpi.recognition.inputs import DEFAULT_LIMITS
from ocrhpi.recognition.tensors import to_pixels, to_tensor
from ocrhpi.values import Emissions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from ocrhpi.backends.base import Backend
    from ocrhpi.values import Contents, InputSpec, LineGeometry, NetworkInput, Pixels, Probabilities, Tensor, Widths

__all__ = [
    "HALF_MARGIN",
    "HALF_PROBABILITY_TOLERANCE",
    "PROBABILITY_TOLERANCE",
    "read_reference",
    "verify_equal",
    "verify_half",
]

PROBABILITY_TOLERANCE = 1e-3
"""Largest difference of a top-1 probability; conversion alone makes up to 6e-4 on the deepest official model."""

HALF_PROBABILITY_TOLERANCE = 0.25
"""The same for FP16, whose 11 bits move it by up to 0.08 with the two real models, and by 0.12 with random weights.
What is beyond rounding, an overflow or a wrong constant, moves more."""

HALF_MARGIN = 2 * HALF_PROBABILITY_TOLERANCE
"""By how much the best class must lead in FP32 so that FP16 must find it, too: if no probability moves by more than the
tolerance, two classes can change places only if they are closer than twice that."""

_MIXED_BATCH = 4
_MIXED_STEP = 64
_NOISE = 200  # what columns beyond the content hold, which must have no effect


@dataclass(frozen=True)
class _Line:
    """One of the lines that are read.

    Attributes:
        image: Its pixels.
        geometry: Its exact widths.
    """

    image: Pixels
    geometry: LineGeometry

    def tensor(self, spec: InputSpec) -> Tensor:
        return to_tensor([self.image], [self.geometry], spec)


@dataclass(frozen=True)
class _Expected:
    """What the source reads in one line alone.

    Attributes:
        emissions: Of (1, T).
        firm: (T,), bool: time steps whose class must be the same.
    """

    emissions: Emissions
    firm: npt.NDArray[np.bool_]


def read_reference(source: Backend) -> list[Emissions]:
    """Return what a backend, open, reads in each line alone: what `verify_equal` compares with."""
    spec = source.model.spec
    return [source.run(line.tensor(spec)) for line in _lines(spec)]


def verify_equal(reference: Sequence[Emissions], exported: Backend) -> None:
    """Check that a backend, open, reads what the source did: equal classes, probabilities within the tolerance.

    Every line is run alone and in a batch: with itself for a plain graph, with lines of other widths, padded to the
    widest and rounded up, for a width-masked one.

    Args:
        reference: From `read_reference`.
        exported: Holds the exported graph.

    Raises:
        ExportError: It does not; the error counts and shows the differences.
    """
    lines = _lines(exported.model.spec)
    expected = [_Expected(emissions, np.ones(emissions.indices.shape[1], np.bool_)) for emissions in reference]
    _compare(lines, expected, exported, PROBABILITY_TOLERANCE)


def verify_half(source: Path, exported: Backend, *, once: bool = False) -> None:
    """Check an FP16 graph against its FP32 source, in the batches of `verify_equal`.

    Rounding moves all probabilities, so no more can be asked than this: the largest one moves by no more than
    `HALF_PROBABILITY_TOLERANCE`, and the class is the same wherever it leads by `HALF_MARGIN` or more.

    Args:
        source: The plain ONNX file in FP32, with all probabilities, from which the margins are taken.
        exported: An open backend that holds the FP16 graph.
        once: Run every line once only, in the batches that are harder.

    Raises:
        ExportError: The graph reads something else; the error counts and shows the differences.
    """
    lines = _lines(exported.model.spec)
    expected = []
    for probabilities in _probabilities(source, [line.tensor(exported.model.spec) for line in lines]):
        second, best = np.partition(probabilities[0], -2, axis=-1)[:, -2:].T
        expected.append(_Expected(Emissions.from_probabilities(probabilities), best - second >= HALF_MARGIN))
    _compare(lines, expected, exported, HALF_PROBABILITY_TOLERANCE, once=once)


def _probabilities(file: Path, tensors: Sequence[Tensor]) -> Iterator[Probabilities]:
    """Run a plain graph directly: a backend tells the best class only."""
    import onnxruntime  # noqa: PLC0415 - only the exporter needs it

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (name,) = (item.name for item in session.get_inputs())
    for tensor in tensors:
        yield session.run(None, {name: tensor})[0]


def _compare(
    lines: Sequence[_Line],
    expected: Sequence[_Expected],
    exported: Backend,
    tolerance: float,
    *,
    once: bool = False,
) -> None:
    differing, steps, largest = 0, 0, 0.0
    for numbers in _batches(len(lines), masked=exported.masked, once=once):
        got = exported.run(*_request([lines[number] for number in numbers], exported))
        for row, number in enumerate(numbers):
            reference = expected[number]
            steps += len(reference.firm)
            differing += _differing_steps(got, row, reference)
            largest = max(largest, _largest_shift(got, row, reference))
    if differing or largest > tolerance:
        raise ExportError(
            exported.model.path,
            "verification",
            f"the exported graph differs from its source in {differing} of {steps} time steps, probabilities by up to "
            f"{largest:.1e} (allowed: none, {tolerance:g}); it is not kept, use another form",
        )


def _differing_steps(got: Emissions, row: int, reference: _Expected) -> int:
    """Count firm time steps of other classes; steps beyond the reference's must be blank, missing ones differ."""
    count = len(reference.firm)
    indices = got.indices[row]
    if len(indices) < count:
        return count
    differing = (indices[:count] != reference.emissions.indices[0]) & reference.firm
    return int(np.count_nonzero(differing)) + int(np.count_nonzero(indices[count:]))


def _largest_shift(got: Emissions, row: int, reference: _Expected) -> float:
    """Return the largest difference of a top-1 probability; infinite where one is not a number."""
    shared = min(len(reference.firm), got.probs.shape[1])
    gap = np.abs(got.probs[row, :shared] - reference.emissions.probs[0, :shared])
    return float(np.nan_to_num(gap, nan=np.inf, posinf=np.inf).max(initial=0.0))


def _batches(lines: int, *, masked: bool, once: bool) -> list[list[int]]:
    """Return the numbers of the lines of each batch."""
    alone = [[number] for number in range(lines)]
    if not masked:
        return alone if once else alone + [same * 3 for same in alone]
    mixed = [list(range(start, min(start + _MIXED_BATCH, lines))) for start in range(0, lines, _MIXED_BATCH)]
    return mixed if once else alone + mixed


def _request(lines: Sequence[_Line], exported: Backend) -> tuple[NetworkInput, Widths | None, Contents | None]:
    """Return the arguments of ``run``; lines of a masked batch are padded to the widest, rounded up."""
    exact = np.array([line.geometry.padded_width for line in lines], np.int32)
    step = _MIXED_STEP if len(lines) > 1 and exported.masked else 1
    width = -(-int(exact.max()) // step) * step
    images = [line.image for line in lines]
    geometries = [replace(line.geometry, padded_width=width) for line in lines]
    widths = exact if exported.masked else None
    spec = exported.model.spec
    if not exported.takes_pixels:
        return to_tensor(images, geometries, spec), widths, None
    contents = np.array([geometry.resized_width for geometry in geometries], np.int32)
    pixels = to_pixels(images, geometries, spec)
    for row, content in zip(pixels, contents, strict=True):
        row[:, content:] = _NOISE
    return pixels, widths, contents


def _lines(spec: InputSpec) -> list[_Line]:
    return [_Line(image, line_geometry(image.shape[1], image.shape[0], spec)) for image in _images()]


@lru_cache(maxsize=1)
def _images() -> list[Pixels]:
    folder = resources.files("ocrhpi") / "export" / "lines"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".png")), key=lambda file: file.name)
    return [decode_image(file.read_bytes(), file.name, DEFAULT_LIMITS.max_pixels) for file in files]
