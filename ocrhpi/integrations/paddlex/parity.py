"""`Trial`: a model runs on its usual engine and, to compare, on others, until enough is known to choose."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from ocrhpi.errors import BackendError, OcrhpiError
from ocrhpi.forks import RenewedLock
from ocrhpi.integrations.paddlex.parity_cache import (
    INPUTS,
    TOLERANCE,
    digest_of,
    largest_difference,
    save_evidence,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from ocrhpi.integrations.paddlex.parity_cache import Evidence

    Arrays = Sequence[npt.NDArray[Any]]

_log = logging.getLogger("ocrhpi")


class Runs(Protocol):
    """What runs a network."""

    @property
    def name(self) -> str:
        """Name of the engine."""

    def run(self, arrays: Arrays) -> list[npt.NDArray[Any]]:
        """Run it; ``arrays`` are its inputs in the order of their names."""


class Trial:
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
        self._rivals: dict[str, Runs] = {}
        self._chosen: Runs | None = None
        if evidence.complete:
            self._settle()
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
        elif self._rivals:
            with self._lock:
                return self._compare(arrays)
        return self._home.run(arrays)

    def _compare(self, arrays: Arrays) -> list[npt.NDArray[Any]]:
        reference = self._home.run(arrays)
        digest = digest_of(arrays)
        if not self._rivals or digest in self._evidence.inputs:
            return reference
        differences = {name: self._difference(name, arrays, reference) for name in list(self._rivals)}
        equal = {name: value for name, value in differences.items() if value is not None}
        if equal:
            # Once more, since the first run of a shape also prepares the engine for it.
            seconds = {self._home.name: _seconds(self._home, arrays)}
            seconds |= {name: _seconds(self._rivals[name], arrays) for name in equal}
            self._evidence = self._evidence.with_input(digest, seconds, equal)
        save_evidence(self._evidence, self._path)
        if self._evidence.complete:
            self._settle()
        return reference

    def _difference(self, name: str, arrays: Arrays, reference: Arrays) -> float | None:
        """Return by how much an engine's outputs differ; None if it is given up."""
        try:
            difference = largest_difference(reference, self._rivals[name].run(arrays))
        except BackendError as error:
            self._refuse(name, str(error))
            return None
        if difference <= TOLERANCE:
            return difference
        self._refuse(name, f"its outputs differ by {difference:.1e}, and {TOLERANCE:g} is allowed")
        return None

    def _open(self, name: str) -> None:
        try:
            self._rivals[name] = self._openers[name]()
        except OcrhpiError as error:
            self._evidence = self._evidence.with_refusal(name, str(error))
            self._openers.pop(name)

    def _refuse(self, name: str, reason: str) -> None:
        self._rivals.pop(name)
        self._evidence = self._evidence.with_refusal(name, reason)
        self._say_if_none_is_left()

    def _say_if_none_is_left(self) -> None:
        if not self._rivals:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self._evidence.refused.items())
            _log.warning("%s stays on %s: %s", self._model, self._home.name, reasons or "no other engine is installed")

    def _settle(self) -> None:
        """Keep the engine to run on, and drop the others."""
        home = self._home.name
        name = self._evidence.fastest(home, asked=self._asked)
        if name != home and name not in self._rivals:
            self._open(name)
        self._chosen = self._rivals.get(name)
        self._rivals = {}
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
