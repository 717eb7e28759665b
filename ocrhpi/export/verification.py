"""An exported graph against its source, on real lines at several widths and batch sizes."""

from __future__ import annotations

import pickle
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from ocrhpi.backends.guest import as_it_was
from ocrhpi.backends.registry import create_backend
from ocrhpi.errors import ExportError, ModelNotFound, OcrhpiError
from ocrhpi.export.isolated import ApartFailed, run_apart
from ocrhpi.model import ModelFiles
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
    from ocrhpi.model import Model
    from ocrhpi.values import Contents, InputSpec, LineGeometry, NetworkInput, Pixels, Probabilities, Tensor, Widths

PROBABILITY_TOLERANCE = 1e-3
"""Largest difference of a top-1 probability; conversion alone makes up to 6e-4 on the deepest official model."""

HALF_PROBABILITY_TOLERANCE = 0.25
"""The same for FP16, whose 11 bits move it by up to 0.08 with the two real models, and by 0.12 with random weights.
What is beyond rounding, an overflow or a wrong constant, moves more."""

HALF_MARGIN = 2 * HALF_PROBABILITY_TOLERANCE
"""By how much the best class must lead in FP32 so that FP16 must find it, too: if no probability moves by more than the
tolerance, two classes can change places only if they are closer than twice that."""

_TIMEOUT_S = 600.0
_HALF_CHILD = """
import pickle, sys
from ocrhpi.export.verification import half_problem
answer = half_problem(*pickle.load(sys.stdin.buffer))
"""
_CURE = "keep --precision fp32"

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
        return to_tensor([self.image], [self.geometry], spec, rows=spec.rows)


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
    problem = _difference(lines, expected, exported, PROBABILITY_TOLERANCE)
    if problem:
        raise ExportError(exported.model.path, "verification", problem)


def verify_half(source: Model, exported: Path, emulated: Path) -> None:
    """Check an FP16 graph against its FP32 source, in the batches of `verify_equal`, in a process of its own.

    ONNX Runtime is known to crash on FP16 graphs, those with LSTM, while it optimises them.

    Args:
        source: The plain ONNX file in FP32, with all probabilities, from which the margins are taken.
        exported: The FP16 graph.
        emulated: The same, with every result rounded, see `ocrhpi.export.fp16`.

    Raises:
        ExportError: The graph reads something else, or ONNX Runtime fails, crashes or hangs on it; the error counts
            and shows the differences, or says what happened.
    """
    given = (source, exported, emulated)
    try:
        if "ocrhpi.workers.commands" in sys.modules:
            # This is a child of ours already, a tuning's worker: its parent survives a crash and tells it, and need not
            # wait for one more interpreter.
            problem = half_problem(*given)
        else:
            problem = run_apart(_HALF_CHILD, given=pickle.dumps(given), timeout_s=_TIMEOUT_S)
    except ApartFailed as error:
        what = "ONNX Runtime cannot run this graph in FP16" if error.crashed else "this graph is not verified in FP16"
        words = f" (its last words: {error.words})" if error.words else ""
        problem = f"{error.how}: {what}; {_CURE}{words}"
    if problem:
        raise ExportError(source.path, "verification", problem)


def half_problem(source: Model, exported: Path, emulated: Path) -> str | None:
    """Do the work of `verify_half`, in whatever process; return what is wrong as a phrase.

    Rounding moves all probabilities, so no more can be asked than this: the largest one moves by no more than
    `HALF_PROBABILITY_TOLERANCE`, and the class is the same wherever it leads by `HALF_MARGIN` or more.
    """
    plain = source.files.onnx
    if plain is None:
        raise ModelNotFound(source.path, "an ONNX file")
    # The optimiser could merge operators of the emulation, and so leave out roundings between them.
    for file, level, once in ((exported, "all", False), (emulated, "disabled", True)):
        options = {"precision": "fp16", "graph_level": level}
        model = replace(source, files=ModelFiles(onnx=file))
        try:
            with create_backend("onnxruntime", model, "cpu", options) as backend:
                problem = _half_difference(plain, backend, once=once)
        except OcrhpiError as error:
            problem = f"ONNX Runtime cannot run this graph in FP16 ({str(error).rstrip('.')}); {_CURE}"
        if problem:
            return problem
    return None


def _half_difference(source: Path, exported: Backend, *, once: bool) -> str | None:
    """Compare; ``once``: run every line once only, in the batches that are harder."""
    lines = _lines(exported.model.spec)
    expected = []
    for probabilities in _probabilities(source, [line.tensor(exported.model.spec) for line in lines]):
        second, best = np.partition(probabilities[0], -2, axis=-1)[:, -2:].T
        expected.append(_Expected(Emissions.from_probabilities(probabilities), best - second >= HALF_MARGIN))
    return _difference(lines, expected, exported, HALF_PROBABILITY_TOLERANCE, once=once)


def _probabilities(file: Path, tensors: Sequence[Tensor]) -> Iterator[Probabilities]:
    """Run a plain graph directly: a backend tells the best class only."""
    with as_it_was():
        import onnxruntime  # noqa: PLC0415 - only the exporter needs it

        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (name,) = (item.name for item in session.get_inputs())
    for tensor in tensors:
        yield session.run(None, {name: tensor})[0]


def _difference(
    lines: Sequence[_Line],
    expected: Sequence[_Expected],
    exported: Backend,
    tolerance: float,
    *,
    once: bool = False,
) -> str | None:
    """Return what differs beyond what is allowed, as a phrase."""
    differing, steps, largest = 0, 0, 0.0
    for numbers in _batches(len(lines), exported, once=once):
        got = exported.run(*_request([lines[number] for number in numbers], exported))
        for row, number in enumerate(numbers):
            reference = expected[number]
            steps += len(reference.firm)
            differing += _differing_steps(got, row, reference)
            largest = max(largest, _largest_shift(got, row, reference))
    if not differing and largest <= tolerance:
        return None
    return (
        f"the exported graph differs from its source in {differing} of {steps} time steps, probabilities by up to "
        f"{largest:.1e} (allowed: none, {tolerance:g}); it is not kept, use another form"
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


def _batches(lines: int, exported: Backend, *, once: bool) -> list[list[int]]:
    """Return the numbers of the lines of each batch."""
    most = exported.model.spec.rows or _MIXED_BATCH
    alone = [[number] for number in range(lines)]
    if not exported.masked:
        return alone if once or most == 1 else alone + [same * min(3, most) for same in alone]
    mixed = [list(range(start, min(start + most, lines))) for start in range(0, lines, most)]
    return mixed if once else alone + mixed


def _request(lines: Sequence[_Line], exported: Backend) -> tuple[NetworkInput, Widths | None, Contents | None]:
    """Return the arguments of ``run``; lines of a masked batch are padded to the widest, rounded up."""
    exact = np.array([line.geometry.padded_width for line in lines], np.int32)
    step = _MIXED_STEP if len(lines) > 1 and exported.masked else 1
    width = -(-int(exact.max()) // step) * step
    images = [line.image for line in lines]
    geometries = [replace(line.geometry, padded_width=width) for line in lines]
    spec = exported.model.spec
    filler = [width] * ((spec.rows or len(lines)) - len(lines))
    widths = np.array([*exact, *filler], np.int32) if exported.masked else None
    if not exported.takes_pixels:
        return to_tensor(images, geometries, spec, rows=spec.rows), widths, None
    contents = np.array([geometry.resized_width for geometry in geometries] + filler, np.int32)
    pixels = to_pixels(images, geometries, spec, rows=spec.rows)
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
