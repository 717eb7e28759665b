"""What was found out about a model of PaddleX on other engines, in the cache: are they equal, and are they faster."""

from __future__ import annotations

import hashlib
import json
import logging
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, ValidationError

from ocrhpi.files import write_atomically
from ocrhpi.options import Options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

_log = logging.getLogger("ocrhpi")

INPUTS = 3
"""Different inputs of the user's own on which an engine must be equal before it runs alone."""

TOLERANCE = 1e-3
"""Largest difference of an output, |a - b| / (1 + |b|): absolute for probabilities, relative for coordinates. Whole
numbers must be equal. On pages of the sample lines, no probability of PP-OCRv4_mobile_det moves by more than 4e-5 on
ONNX Runtime and 4e-4 on OpenVINO, which computes convolutions otherwise, and none moves across the threshold."""

_GAIN = 0.95
"""What an engine may take of the time of the one that the model runs on without us; nearer than that is noise."""


class Evidence(Options):
    """What is known so far.

    Attributes:
        key: What makes it wrong when it changes; plain values.
        inputs: Digests of the inputs that were run everywhere.
        seconds: Engine -> seconds for each of these inputs; engines that were refused are not among them.
        refused: Engine -> why it is not used.
        largest: Engine -> its largest difference.
    """

    key: dict[str, Any]
    inputs: tuple[str, ...] = ()
    seconds: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    refused: dict[str, str] = Field(default_factory=dict)
    largest: dict[str, float] = Field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether enough inputs were run."""
        return len(self.inputs) >= INPUTS

    def with_input(self, digest: str, seconds: Mapping[str, float], differences: Mapping[str, float]) -> Evidence:
        """Return the evidence with one more input.

        Args:
            digest: Of the input.
            seconds: Engine -> seconds it took.
            differences: Engine -> its difference.
        """
        larger = {name: max(value, self.largest.get(name, 0.0)) for name, value in differences.items()}
        return self.model_copy(
            update={
                "inputs": (*self.inputs, digest),
                "seconds": {name: (*self.seconds.get(name, ()), value) for name, value in seconds.items()},
                "largest": {**self.largest, **larger},
            }
        )

    def with_refusal(self, engine: str, reason: str) -> Evidence:
        """Return the evidence without an engine."""
        seconds = {name: values for name, values in self.seconds.items() if name != engine}
        return self.model_copy(update={"seconds": seconds, "refused": {**self.refused, engine: reason}})

    def speedup(self, engine: str, home: str) -> float:
        """Return how many times as fast as ``home`` an engine was over all inputs."""
        return sum(self.seconds[home]) / sum(self.seconds[engine])

    def fastest(self, home: str, *, asked: bool) -> str:
        """Return the engine to run on: ``home``, unless another one is faster beyond the noise.

        Args:
            home: Engine that the model runs on without us.
            asked: Whether the user named the other one, so that its speed does not matter.
        """
        others = [name for name in self.seconds if name != home]
        if not others:
            return home
        best = max(others, key=lambda name: self.speedup(name, home))
        return best if asked or self.speedup(best, home) >= 1 / _GAIN else home


def digest_of(arrays: Sequence[npt.NDArray[Any]]) -> str:
    """Return a digest of one call's inputs."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def largest_difference(reference: Sequence[npt.NDArray[Any]], other: Sequence[npt.NDArray[Any]]) -> float:
    """Return the largest difference of two calls' outputs, see `TOLERANCE`; infinite where they cannot be compared."""
    if len(reference) != len(other):
        return float("inf")
    return max((_difference(one, two) for one, two in zip(reference, other, strict=True)), default=0.0)


def _difference(reference: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    if reference.shape != other.shape:
        return float("inf")
    if reference.dtype.kind not in "fc":
        return 0.0 if np.array_equal(reference, other) else float("inf")
    with np.errstate(invalid="ignore"):  # of infinities
        gap = np.abs(other - reference) / (1 + np.abs(reference))
    same = (other == reference) | (np.isnan(other) & np.isnan(reference))
    return float(np.nan_to_num(np.where(same, 0.0, gap), nan=np.inf, posinf=np.inf).max(initial=0.0))


def read_evidence(path: Path, key: Mapping[str, Any]) -> Evidence:
    """Return what is kept for this key; nothing known where the file is missing, damaged, or of another key."""
    empty = Evidence(key=dict(key))
    try:
        kept = Evidence.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return empty
    except (OSError, ValidationError) as error:
        _log.warning("%s cannot be read (%s) and is made anew", path, str(error).splitlines()[0])
        return empty
    return kept if kept.key == json.loads(json.dumps(key)) else empty


def save_evidence(evidence: Evidence, path: Path) -> None:
    """Keep the evidence; where that fails it is collected again, and one warning in a process says so."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, evidence.model_dump_json(indent=1))
    except OSError as error:
        _warn_once(f"{path} could not be written ({error.strerror or error}), so its engines will be compared again")


@cache
def _warn_once(said: str) -> None:
    _log.warning("%s", said)
