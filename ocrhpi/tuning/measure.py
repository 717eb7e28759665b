"""Walk B, step 3: candidates -> rows. The gate first, then interleaved rounds; every candidate in its own process."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING

from ocrhpi.files import temporary_folder
from ocrhpi.tuning.contestant import Job
from ocrhpi.tuning.progress import THOROUGH, Budget, Effort, Watcher
from ocrhpi.tuning.race import Race

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.model import Model
    from ocrhpi.tuning.calibration import CalibrationSet
    from ocrhpi.tuning.candidates import CandidateList
    from ocrhpi.tuning.question import Question
    from ocrhpi.tuning.rows import Row

__all__ = ["measure"]


def measure(
    model: Model,
    entrants: CandidateList,
    calibration: CalibrationSet,
    question: Question,
    budget: Budget,
    *,
    effort: Effort = THOROUGH,
    cache_dir: Path | None = None,
    watcher: Watcher = lambda _: None,
) -> list[Row]:
    """Measure the baseline and as many candidates as the budget allows; return a row for each, those left out included.

    Args:
        model: The model.
        entrants: What is to be measured.
        calibration: The lines it is measured on.
        question: What is asked; decides which kind of call is timed, and which text will do.
        budget: Time for all of it. At least `MIN_ROUNDS` rounds of the baseline and the best candidate are run.
        effort: How much is measured.
        cache_dir: Where exports are kept.
        watcher: Is told of every step.

    Raises:
        Rejected: The baseline itself does not run; the text is the reason.
    """
    with temporary_folder() as logs:
        job = Job(
            model,
            calibration.directory,
            cache_dir,
            question.goal,
            effort.call_lines,
            logs,
            passes=effort.passes,
            repeats=not effort.careful,
        )
        rng = random.Random(0)  # noqa: S311 - not for secrets
        with closing(Race(job, calibration, question, budget, effort, watcher, rng)) as race:
            race.start_baseline(entrants.baseline, next(iter(entrants.candidates), None))
            passed_over = race.screen(entrants.candidates)
            race.keep_best()
            race.finish_gates()
            race.try_verified()
            race.run_rounds()
            return [*race.rows(), *passed_over, *entrants.left_out]
