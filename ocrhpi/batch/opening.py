"""The predictor of this process: opened at first use, and shared by all that ask for the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrhpi.batch.tunings import keep_winner
from ocrhpi.forks import RenewedLock
from ocrhpi.loader import open_predictor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocrhpi.predictor import Predictor
    from ocrhpi.reading_options import ReadingOptions
    from ocrhpi.tuning.cache import Tuning

# Of the process, not of an object: Spark and Dask unpickle the callable anew for every task.
_predictors: dict[str, Predictor] = {}
_lock = RenewedLock()


def shared_predictor(options: ReadingOptions, winners: Mapping[str, Tuning] | None = None) -> Predictor:
    """Return this process's predictor for ``options``; it stays open until the process ends.

    Args:
        options: What reads.
        winners: What was measured elsewhere, see `ocrhpi.batch.tunings`.

    Raises:
        OcrhpiError: As `ocrhpi.loader.open_predictor`.
    """
    key = options.model_dump_json()
    with _lock:
        if key not in _predictors:
            if winners and keep_winner(options, winners):
                options = options.without_measuring()
            _predictors[key] = open_predictor(options)
        return _predictors[key]
