"""How much a tuning measures, the clock that its budget is counted by, and what ``on_progress`` is told of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ocrhpi.measuring.statistic import MIN_ROUNDS


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


OnProgress = Callable[[Step], None]
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


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        reference_share: Share of the budget for reading the reference: of a slow model, fewer lines.
        most_lines: Lines of the gate at most.
        call_lines: Lines of the stream that a round reads, where the model is quick enough for `round_share`.
        round_share: Share of the budget that a round of normal mode, or of the best candidate, may take.
        screening_share: Share of the budget after which no further candidate is started.
        others: Candidates that are screened although the policy does not let them pass: for verification, and to say
            what another policy would give.
        passes: Passes of a first look at most.
        careful: Whether candidates read lines again beside other lines, and rounds read new parts of the stream, whose
            shapes are met before. Else all read one part, which favours normal mode if anything.
        least: Candidates that are screened whatever the budget.
        kept: Candidates that are timed in rounds, of those that pass.
        rounds: Rounds at most.
    """

    reference_share: float = 0.18
    most_lines: int = 10_000
    call_lines: int = 64
    round_share: float = 0.03
    screening_share: float = 0.5
    others: int = 3
    passes: int = 2
    careful: bool = True
    least: int = 0
    kept: int = 3
    rounds: int = 24


THOROUGH = Effort()
QUICK = Effort(
    most_lines=24,
    call_lines=32,
    screening_share=0.4,
    others=0,
    passes=1,
    careful=False,
    least=1,
    kept=2,
    rounds=MIN_ROUNDS,
)
