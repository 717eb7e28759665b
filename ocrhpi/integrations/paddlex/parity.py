"""`ParityCheck`: a model runs on its usual engine and, to compare, on others, until enough is known to choose.

What was found out, whether they are equal and whether they are faster, is kept in the cache (`Evidence`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import numpy as np
from pydantic import Field, ValidationError, model_validator

from ocrhpi.errors import BackendError, OcrhpiError
from ocrhpi.files import write_atomically
from ocrhpi.forks import RenewedLock
from ocrhpi.measuring.statistic import MARGIN, MIN_ROUNDS, paired_ratio, verdict
from ocrhpi.options import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from ocrhpi.measuring.statistic import Ratio

    Arrays = Sequence[npt.NDArray[Any]]

_log = logging.getLogger("ocrhpi")

INPUTS = MIN_ROUNDS
"""Different inputs of the user's own on which an engine must be equal before it runs alone."""

TOLERANCE = 1e-3
"""Largest difference of an output, |a - b| / (1 + |b|): absolute for probabilities, relative for coordinates. Whole
numbers must be equal. On pages of the sample lines, no probability of PP-OCRv4_mobile_det moves by more than 4e-5 on
ONNX Runtime and 4e-4 on OpenVINO, which computes convolutions otherwise, and none moves across the threshold."""


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


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
    seconds: dict[str, tuple[Seconds, ...]] = Field(default_factory=dict)
    refused: dict[str, str] = Field(default_factory=dict)
    largest: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_all_seconds(self) -> Evidence:
        if any(len(values) != len(self.inputs) for values in self.seconds.values()):
            raise ValueError("an engine has not as many seconds as there are inputs")
        return self

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
        """Return how many times as fast as ``home`` an engine was: the median of the inputs."""
        return self._ratio(engine, home).median

    def _ratio(self, engine: str, home: str) -> Ratio:
        return paired_ratio(self.seconds[home], self.seconds[engine])

    def fastest(self, home: str, *, asked: bool) -> str:
        """Return the engine to run on: ``home``, unless another one is proved to be faster, on every input.

        Args:
            home: Engine that the model runs on without us.
            asked: Whether the user named the other one, so that its speed does not matter.
        """
        others = [name for name in self.seconds if name != home]
        if not others:
            return home
        best = max(others, key=lambda name: self.speedup(name, home))
        return best if asked or verdict(self._ratio(best, home), MARGIN) == "faster" else home


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


class Runs(Protocol):
    """What runs a network."""

    @property
    def name(self) -> str:
        """Name of the engine."""

    def run(self, arrays: Arrays) -> list[npt.NDArray[Any]]:
        """Run it; ``arrays`` are its inputs in the order of their names."""


class ParityCheck:
    """Runs a model, and finds out while it does on which engine.

    The user's own inputs are what is compared: the first `INPUTS` different ones run everywhere, and what the engine
    that needs no proof (``home``) makes of them is returned. An engine with other outputs is given up.

    Args:
        model: Name of the model, for messages.
        home: Where the model runs without us.
        openers: Engine -> what opens it.
        evidence: What is known before.
        path: Where it is kept.
        asked: Whether the user named the engine, so that its speed does not matter.
    """

    def __init__(
        self,
        model: str,
        home: Runs,
        openers: Mapping[str, Callable[[], Runs]],
        evidence: Evidence,
        path: Path,
        *,
        asked: bool = False,
    ) -> None:
        self._model = model
        self._home = home
        self._openers = {name: opener for name, opener in openers.items() if name not in evidence.refused}
        self._evidence = evidence
        self._path = path
        self._asked = asked
        self._lock = RenewedLock(threading.RLock)
        self._candidates: dict[str, Runs] = {}
        self._chosen: Runs | None = None
        if evidence.complete:
            self._decide()
        else:
            for name in list(self._openers):
                self._open(name)
            self._say_if_none_is_left()

    @property
    def engine(self) -> str:
        """Name of the engine whose outputs are returned now."""
        return (self._chosen or self._home).name

    def run(self, arrays: Arrays) -> list[npt.NDArray[Any]]:
        """Run the model.

        Args:
            arrays: Its inputs in the order of their names.
        """
        chosen = self._chosen
        if chosen is not None:
            try:
                return chosen.run(arrays)
            except BackendError as error:
                self._give_up(chosen, error)
        elif self._candidates:
            with self._lock:
                return self._compare(arrays)
        return self._home.run(arrays)

    def _compare(self, arrays: Arrays) -> list[npt.NDArray[Any]]:
        reference = self._home.run(arrays)
        digest = digest_of(arrays)
        if not self._candidates or digest in self._evidence.inputs:
            return reference
        differences = {name: self._difference(name, arrays, reference) for name in list(self._candidates)}
        equal = {name: value for name, value in differences.items() if value is not None}
        if equal:
            # Once more, since the first run of a shape also prepares the engine for it.
            seconds = {self._home.name: _seconds(self._home, arrays)}
            seconds |= {name: _seconds(self._candidates[name], arrays) for name in equal}
            self._evidence = self._evidence.with_input(digest, seconds, equal)
        save_evidence(self._evidence, self._path)
        if self._evidence.complete:
            self._decide()
        return reference

    def _difference(self, name: str, arrays: Arrays, reference: Arrays) -> float | None:
        """Return by how much an engine's outputs differ; None if it is given up."""
        try:
            difference = largest_difference(reference, self._candidates[name].run(arrays))
        except BackendError as error:
            self._refuse(name, str(error))
            return None
        if difference <= TOLERANCE:
            return difference
        self._refuse(name, f"its outputs differ by {difference:.1e}, and {TOLERANCE:g} is allowed")
        return None

    def _open(self, name: str) -> None:
        try:
            self._candidates[name] = self._openers[name]()
        except OcrhpiError as error:
            self._evidence = self._evidence.with_refusal(name, str(error))
            self._openers.pop(name)

    def _refuse(self, name: str, reason: str) -> None:
        self._candidates.pop(name)
        self._evidence = self._evidence.with_refusal(name, reason)
        self._say_if_none_is_left()

    def _say_if_none_is_left(self) -> None:
        if not self._candidates:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self._evidence.refused.items())
            _log.warning("%s stays on %s: %s", self._model, self._home.name, reasons or "no other engine is installed")

    def _decide(self) -> None:
        """Keep the engine to run on, and drop the others."""
        home = self._home.name
        name = self._evidence.fastest(home, asked=self._asked)
        if name != home and name not in self._candidates:
            self._open(name)
        self._chosen = self._candidates.get(name)
        self._candidates = {}
        if self._chosen is not None:
            speedup, largest = self._evidence.speedup(name, home), self._evidence.largest[name]
            message = "%s runs on %s: outputs equal to those of %s on %d inputs within %.1e, %.2f times as fast"
            _log.info(message, self._model, name, home, INPUTS, largest, speedup)
        elif name == home:
            _log.info("%s stays on %s, which is as fast as any other here", self._model, home)
        else:
            self._say_if_none_is_left()

    def _give_up(self, failed: Runs, error: BackendError) -> None:
        with self._lock:
            if self._chosen is failed:
                self._chosen = None
                _log.warning("%s: %s; it runs on %s from here on", self._model, error, self._home.name)


def _seconds(engine: Runs, arrays: Arrays) -> float:
    start = time.perf_counter()
    engine.run(arrays)
    return time.perf_counter() - start
