"""Tuning, step 3: candidates -> rows. The gate first, then interleaved rounds; every candidate in its own process."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING

from ocrhpi.files import temporary_folder
from ocrhpi.tuning.progress import THOROUGH, Budget, Effort, OnProgress
from ocrhpi.tuning.rounds import Rounds
from ocrhpi.tuning.trial import Job

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.config.objective import Objective
    from ocrhpi.model import Model
    from ocrhpi.tuning.calibration import CalibrationSet
    from ocrhpi.tuning.candidates import Grid
    from ocrhpi.tuning.rows import Row


def measure(
    model: Model,
    grid: Grid,
    calibration: CalibrationSet,
    objective: Objective,
    budget: Budget,
    *,
    effort: Effort = THOROUGH,
    cache_dir: Path | None = None,
    on_progress: OnProgress = lambda _: None,
) -> list[Row]:
    """Measure the baseline and as many candidates as the budget allows; return a row for each, those left out included.

    Args:
        model: The model.
        grid: What is to be measured.
        calibration: The lines it is measured on.
        objective: What is asked; decides which kind of call is timed, and which text will do.
        budget: Time for all of it. At least `MIN_ROUNDS` rounds of the baseline and the best candidate are run.
        effort: How much is measured.
        cache_dir: Where exports are kept.
        on_progress: Is told of every step.

    Raises:
        Rejected: The baseline itself does not run; the text is the reason.
    """
    with temporary_folder() as logs:
        job = Job(
            model,
            calibration.directory,
            cache_dir,
            objective.goal,
            effort.call_lines,
            logs,
            passes=effort.passes,
            repeats=not effort.careful,
        )
        rng = random.Random(0)  # noqa: S311 - not for secrets
        with closing(Rounds(job, calibration, objective, budget, effort, on_progress, rng)) as rounds:
            rounds.start_baseline(grid.baseline, next(iter(grid.candidates), None))
            passed_over = rounds.screen(grid.candidates)
            rounds.keep_best()
            rounds.finish_gates()
            rounds.try_verified()
            rounds.run_rounds()
            return [*rounds.rows(), *passed_over, *grid.left_out]
