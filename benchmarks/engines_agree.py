"""Do all engines find the same classes in every model? ``python -m benchmarks.engines_agree MODELS LINES``.

Each model of the folder MODELS is exported, and the lines are read by Paddle, OpenVINO and ONNX Runtime, one line a
call at its exact width. Counted are the time steps at which an engine finds another class than Paddle, and the largest
difference of a top-1 probability. With random weights two classes may tie up to rounding, so it is also counted at how
many of these steps Paddle itself leaves no more than that between two classes. Exits with 1 if a model fails, or
differs elsewhere.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import numpy as np

from ocrhpi.assembly import open_reader
from ocrhpi.config.candidate import Candidate
from ocrhpi.errors import OcrhpiError
from ocrhpi.loader import find_model
from ocrhpi.recognition.inputs import read_lines
from ocrhpi.values import LineImage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.model import Model
    from ocrhpi.values import Emissions

_REFERENCE = "paddle"
_ENGINES = ("openvino", "onnxruntime")
_TIE = 2e-3  # of probability: twice the tolerance that an export is verified with


class Agreement(NamedTuple):
    """One engine against Paddle, over all lines of a model."""

    steps: int
    differing: int
    ties: int
    largest: float

    def __str__(self) -> str:
        """Say it in words."""
        ties = f", {self.ties} of them ties within {_TIE:g}" if self.differing else ""
        return f"{self.differing} of {self.steps} time steps differ{ties}; probabilities within {self.largest:.1e}"


def read(model: Model, backend: str, lines: Sequence[LineImage], *, rival_margin: float = 0.0) -> list[Emissions]:
    """Return the emissions of each line, read alone."""
    with open_reader(model, Candidate(backend=backend, device="cpu")) as reader:
        engine = reader.engine_for(0)  # the one that there is
        requests = (request for line in lines for request in engine.prepare([line]))
        return [engine.backend.run(*request, margin=rival_margin) for request in requests]


def compare(reference: Sequence[Emissions], found: Sequence[Emissions]) -> Agreement:
    """Compare step by step; ``reference`` knows its near-ties within a tie."""
    steps = differing = ties = 0
    largest = 0.0
    for expected, got in zip(reference, found, strict=True):
        other = expected.indices != got.indices
        tied = np.zeros_like(other)
        assert expected.near_ties is not None  # noqa: S101 - asked for
        tied[expected.near_ties.rows, expected.near_ties.steps] = True
        steps += other.size
        differing += int(other.sum())
        ties += int((other & tied).sum())
        largest = max(largest, float(np.abs(expected.probs - got.probs).max()))
    return Agreement(steps, differing, ties, largest)


def differences(path: Path, lines: Sequence[LineImage]) -> int:
    """Print how the engines agree on one model; return at how many time steps they do not, ties apart."""
    found = 0
    try:
        model = find_model(path)
        reference = read(model, _REFERENCE, lines, rival_margin=_TIE)
        for engine in _ENGINES:
            agreement = compare(reference, read(model, engine, lines))
            found += agreement.differing - agreement.ties
            print(f"{path.name}: {engine}: {agreement}", flush=True)
    except OcrhpiError as error:
        print(f"{path.name}: failed: {error}", flush=True)
        return found + 1
    return found


@click.command()
@click.argument("models", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--lines", "count", default=20, show_default=True, help="Lines of the folder that are read.")
def main(models: Path, folder: Path, count: int) -> None:
    """Read lines of FOLDER with every model of the folder MODELS."""
    images = [line for line in read_lines(str(folder)) if isinstance(line, LineImage)]
    lines = images[:: max(1, len(images) // count)][:count]
    faults = sum(differences(path, lines) for path in sorted(models.iterdir()) if path.is_dir())
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
