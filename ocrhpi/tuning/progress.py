"""How far a tuning is: what watchers are told, and the clock that the budget is counted by."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Budget", "Step", "Watcher"]


@dataclass(frozen=True)
class Step:
    """What is being done.

    Attributes:
        doing: A phrase, such as ``reading the calibration lines``.
        candidate: Name of the candidate that it is done with; empty if with none.
        done: Steps of this kind that are done.
        total: Steps of this kind.
        leader: Name of the fastest candidate so far that reads the right text; empty while there is none.
        left_s: Seconds of the budget that are left, at least 0.
    """

    doing: str
    candidate: str
    done: int
    total: int
    leader: str
    left_s: float


Watcher = Callable[[Step], None]
"""Is called before each step; what it raises ends the tuning."""


@dataclass(frozen=True)
class Budget:
    """The time a tuning may take.

    Attributes:
        seconds: All of it.
        clock: Seconds since some moment.
    """

    seconds: float
    clock: Callable[[], float] = time.monotonic
    _start: list[float] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        self._start.append(self.clock())

    @property
    def spent(self) -> float:
        """Seconds since it was made."""
        return self.clock() - self._start[0]

    def left(self, share: float = 1.0) -> float:
        """Return the seconds left of the first ``share`` of it, at least 0."""
        return max(0.0, share * self.seconds - self.spent)
