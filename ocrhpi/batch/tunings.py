"""Measure once per kind of machine, and carry the result to the others of that kind.

Machines are of one kind if everything is equal that makes a tuning wrong when it changes: the key of
`ocrhpi.tuning.key`, which has the processor, its cores, the engines' versions and the model. On one machine nothing
needs to be carried: `ocrhpi.tuner.find_or_tune` lets one process measure, and the others wait for its result.

The predictor of a process is opened at first use, and shared by all that ask for the same.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, NamedTuple

from ocrhpi.forks import RenewedLock
from ocrhpi.loader import find_model, open_predictor
from ocrhpi.tuner import plan, tuning_or_none
from ocrhpi.tuning.cache import find, save

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocrhpi.config.reading_options import ReadingOptions
    from ocrhpi.predictor import Predictor
    from ocrhpi.tuner import Plan
    from ocrhpi.tuning.cache import Tuning
    from ocrhpi.tuning.progress import OnProgress


class Winner(NamedTuple):
    """What is known of a kind of machine.

    Attributes:
        kind: Digest of the key; equal on machines of one kind.
        tuning: What was measured there; None if nothing was yet, or if it is to be measured anew.
    """

    kind: str
    tuning: Tuning | None


def device_of(options: ReadingOptions) -> str:
    """Return the device on which high-performance mode runs here; measures nothing.

    Raises:
        OcrhpiError: The model cannot be found or fetched, or an option does not fit here.
    """
    return _plan(options).device


def find_winner(options: ReadingOptions) -> Winner:
    """Say of which kind this machine is, and what was measured on it before; measures nothing.

    Raises:
        OcrhpiError: The model cannot be found or fetched, or an option does not fit here.
    """
    planned = _plan(options)
    anew = options.hpi_config.tune == "always"
    return Winner(_kind(planned), None if anew else _kept(planned))


def measure_winner(options: ReadingOptions, on_progress: OnProgress = lambda _: None) -> Winner:
    """Return what was measured on this machine; measure if need be. Where that fails normal mode reads.

    Raises:
        OcrhpiError: As `find_winner`.
    """
    planned = _plan(options)
    return Winner(_kind(planned), tuning_or_none(planned, on_progress))


def keep_winner(options: ReadingOptions, winners: Mapping[str, Tuning]) -> bool:
    """Keep what was measured on another machine of this kind, where nothing is kept here.

    Args:
        options: What reads.
        winners: Kind of machine -> what was measured there.

    Returns:
        Whether that is known, so that nothing is to be measured here.
    """
    planned = _plan(options)
    tuning = winners.get(_kind(planned))
    if tuning is not None and _kept(planned) is None:
        save(tuning, planned.path)
    return tuning is not None


def _plan(options: ReadingOptions) -> Plan:
    return plan(find_model(options), options.config, options.device)


def _kind(planned: Plan) -> str:
    return hashlib.sha256(json.dumps(planned.key, sort_keys=True).encode()).hexdigest()


def _kept(planned: Plan) -> Tuning | None:
    tuning = find(planned.path, planned.key, planned.model.path).tuning
    return None if tuning is None or tuning.provisional else tuning


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
