"""Walk B, step 3: candidates -> rows. The gate first, then interleaved rounds; every candidate in its own process."""

from __future__ import annotations

import random
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from ocrhpi.tuning.contestant import Job
from ocrhpi.tuning.race import Race

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.model import Model
    from ocrhpi.tuning.calibration import CalibrationSet
    from ocrhpi.tuning.candidates import CandidateList
    from ocrhpi.tuning.progress import Budget, Watcher
    from ocrhpi.tuning.question import Question
    from ocrhpi.tuning.rows import Row

__all__ = ["SAMPLE", "measure", "sample_of"]

SAMPLE = (16, 6, 3, 1)
"""Lines of each width range that one round reads."""


def measure(
    model: Model,
    entrants: CandidateList,
    calibration: CalibrationSet,
    question: Question,
    budget: Budget,
    *,
    cache_dir: Path | None = None,
    watcher: Watcher = lambda _: None,
    seed: int = 0,
) -> list[Row]:
    """Measure the baseline and as many candidates as the budget allows; return a row for each, those left out included.

    Args:
        model: The model.
        entrants: What is to be measured.
        calibration: The lines it is measured on.
        question: What is asked; decides which kind of call is timed, which text will do, and which widths count.
        budget: Time for all of it. At least `MIN_ROUNDS` rounds of the baseline and the best candidate are run.
        cache_dir: Where exports are kept.
        watcher: Is told of every step.
        seed: Of the order within rounds.

    Raises:
        Rejected: The baseline itself does not run; the text is the reason.
    """
    with tempfile.TemporaryDirectory(prefix="ocrhpi-") as logs:
        job = Job(model, calibration.directory, cache_dir, question.goal, sample_of(calibration, model), Path(logs))
        chance = random.Random(seed)  # noqa: S311 - not for secrets
        with closing(Race(job, calibration, question, budget, watcher, chance)) as race:
            race.start_baseline(entrants.baseline)
            late = race.look_at(entrants.candidates)
            race.keep_best()
            race.finish_gates()
            race.try_split()
            race.try_verified()
            race.run_rounds()
            return [*race.rows(), *late, *entrants.left_out]


def sample_of(calibration: CalibrationSet, model: Model, counts: Sequence[int] = SAMPLE) -> tuple[tuple[int, ...], ...]:
    """Choose lines of each width range for the rounds, evenly spread over the set.

    Args:
        calibration: The set.
        model: Its input decides the widths.
        counts: Most lines of each range.
    """
    ranges = calibration.range_numbers(model.spec)
    return tuple(tuple(_spread(numbers, most)) for numbers, most in zip(ranges, counts, strict=True))


def _spread(numbers: Sequence[int], most: int) -> list[int]:
    step = max(1.0, len(numbers) / most)
    return [numbers[int(position * step)] for position in range(min(most, len(numbers)))]
