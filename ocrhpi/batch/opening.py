"""The predictor of this process: opened at first use, and shared by all that ask for the same."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ocrhpi.batch.winners import keep_winner
from ocrhpi.loader import UNMEASURED_BATCH_SIZE, load_high_performance, load_predictor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocrhpi.batch.options import ReadingOptions
    from ocrhpi.predictor import Predictor
    from ocrhpi.tuning.winners import Tuning

__all__ = ["batch_size_of", "open_predictor", "shared_predictor"]

# Of the process, not of an object: Spark and Dask unpickle the callable anew for every task.
_predictors: dict[str, Predictor] = {}
_lock = threading.Lock()


def shared_predictor(options: ReadingOptions, winners: Mapping[str, Tuning] | None = None) -> Predictor:
    """Return this process's predictor for ``options``; it stays open until the process ends.

    Args:
        options: What reads.
        winners: What was measured elsewhere, see `ocrhpi.batch.winners`.

    Raises:
        OcrhpiError: As `ocrhpi.loader.load_high_performance`.
    """
    key = options.model_dump_json()
    with _lock:
        if key not in _predictors:
            if winners:
                keep_winner(options, winners)
            _predictors[key] = open_predictor(options)
        return _predictors[key]


def open_predictor(options: ReadingOptions) -> Predictor:
    """Open a predictor.

    Raises:
        OcrhpiError: As `ocrhpi.loader.load_high_performance`.
    """
    name, directory, device = options.model_name, options.model_dir, options.device
    if options.use_hpip:
        return load_high_performance(name, directory, device=device, hpi_config=options.config)
    threads = {} if options.threads is None else {"threads": options.threads}
    return load_predictor(name, directory, device=device, backend_options=threads)


def batch_size_of(options: ReadingOptions) -> int | None:
    """Return the batch size to ask for; None takes the measured one.

    Text does not depend on the batch, so lines of equal width are put together although nobody measured it.
    """
    measured = options.use_hpip and not options.hpi_config.forced
    return options.batch_size or (None if measured else UNMEASURED_BATCH_SIZE)
