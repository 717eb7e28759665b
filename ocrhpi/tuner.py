"""The tuning pipeline: find out, on this machine, what reads a model's lines fastest without reading other text.

`plan` says what would be measured and where the result belongs, `find_or_tune` returns the result, `tune` makes it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ocrhpi._version import __version__
from ocrhpi.backends.device import parse_device
from ocrhpi.config.objective import Objective
from ocrhpi.errors import OptionError, TuningError
from ocrhpi.export.exporter import EXPORTER_VERSION
from ocrhpi.machine import describe_machine, load_average
from ocrhpi.options import parse_options
from ocrhpi.tuning.cache import (
    TunedModel,
    Tuning,
    cache_path,
    find,
    lock,
    read_tuning,
    rounded_rows,
    save,
)
from ocrhpi.tuning.calibration import calibration_digest, load_calibration
from ocrhpi.tuning.candidates import default_device, list_candidates
from ocrhpi.tuning.choose import choose
from ocrhpi.tuning.key import differences, key_of
from ocrhpi.tuning.progress import QUICK, THOROUGH, Budget

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ocrhpi.config.hpi_config import HpiConfig
    from ocrhpi.model import Model
    from ocrhpi.tuning.candidates import Grid
    from ocrhpi.tuning.progress import OnProgress
    from ocrhpi.tuning.rows import Row

_log = logging.getLogger("ocrhpi")

_QUICK_S = 20.0


@dataclass(frozen=True)
class Plan:
    """What would be measured, and where the result belongs.

    Attributes:
        model: The model.
        config: What the user wants.
        device: Device of the candidates.
        grid: The candidates.
        objective: What the choice is made by.
        key: What must be equal for a cached result to hold.
        path: File of the result.
    """

    model: Model
    config: HpiConfig
    device: str
    grid: Grid
    objective: Objective
    key: dict[str, Any]
    path: Path


def plan(model: Model, config: HpiConfig, device: str | None = None) -> Plan:
    """Say what would be measured; imports no engine and opens no model.

    Args:
        model: The model.
        config: What the user wants.
        device: Device, if ``config`` names none; None takes a GPU if there is one, and an engine for it, else the CPU.

    Raises:
        OptionError: The device, a grid or the calibration folder does not fit, or no engine is installed.
    """
    machine = describe_machine()
    device = str(parse_device(config.device or device or default_device(model, config, machine)))
    objective = parse_options(Objective, config.objective_options())
    grid = list_candidates(model, device, config, machine)
    key = key_of(
        model=model.fingerprint,
        machine=machine,
        engines=grid.engines,
        grid=grid.digest,
        objective=objective,
        calibration=calibration_digest(config.calibration_dir),
        device=device,
        versions={"ocrhpi": __version__, "exporter": EXPORTER_VERSION},
    )
    limits = config.model_dump(
        include={"backend", "backend_config", "backend_configs", "auto_paddle2onnx", "precision"},
    )
    place = cache_path(model, objective, device, config.calibration_dir, limits=limits, cache_dir=config.cache_dir)
    return Plan(model, config, device, grid, objective, key, place)


def find_or_tune(planned: Plan, on_progress: OnProgress = lambda _: None) -> Tuning | None:
    """Return the cached tuning, or make one; of processes that ask at the same time one tunes, and all get its result.

    Returns:
        None if there is none that holds, and ``tune: never`` forbids to make one; a warning says why it does not hold.

    Raises:
        TuningError: Normal mode itself does not run.
    """
    policy, thorough = planned.config.tune, planned.config.thorough
    asked = datetime.now(timezone.utc)
    found = find(planned.path, planned.key, planned.model.path)
    if found.tuning is not None and _will_do(found.tuning, planned):
        return found.tuning
    reasons = "; ".join(found.stale)
    nothing = f"nothing is kept in {planned.path}"
    if policy == "never":
        _log.warning("high-performance mode runs in normal mode (%s), since tune is 'never'", reasons or nothing)
        return None
    if found.tuning is not None and found.tuning.provisional:
        _log.warning("measuring anew: %s, which may have passed", _faults(found.tuning))
    elif found.tuning is not None and found.tuning.quick:
        _log.info("measuring: what is kept is from a quick look")
    elif reasons:
        _log.warning("measuring anew: %s", reasons)
    else:
        _log.info("measuring: %s", nothing if found.tuning is None else "tune is 'always'")
    with lock(planned.path):
        found = find(planned.path, planned.key, planned.model.path)
        if found.tuning is not None and _will_do(found.tuning, planned, asked):
            return found.tuning
        tuning = tune(planned, on_progress, quick=not thorough)
        if found.tuning is not None and found.tuning.passing:
            tuning = tuning.model_copy(update={"attempt": found.tuning.attempt + 1})
        if tuning.provisional:
            _log.warning("this is measured again the next time: %s, which may pass", _faults(tuning))
        save(tuning, planned.path)
    if tuning.quick:
        _log.info(
            "high-performance mode: %s, after a quick look of %.0f s; 'ocrhpi tune' measures thoroughly",
            tuning.setups[0].name,
            tuning.seconds,
        )
    return tuning


def _will_do(tuning: Tuning, planned: Plan, asked: datetime | None = None) -> bool:
    """Whether a tuning that holds is what is asked for: thorough where that is asked, and as new as it is to be.

    Where none may be made, any will do.
    """
    if tuning.quick and planned.config.thorough:
        return False
    policy = planned.config.tune
    anew = policy == "always" or (policy != "never" and tuning.provisional)
    return not anew or (asked is not None and datetime.fromisoformat(tuning.created) >= asked)


def _faults(tuning: Tuning) -> str:
    """Say which candidates failed in a way that may be gone the next time."""
    first, *others = tuning.passing
    more = f", and {len(others)} more of {len(tuning.rows)} candidates failed" if others else ""
    return f"{first.candidate.name} failed ({first.reason.rstrip('.')}){more}"


def tuning_or_none(planned: Plan, on_progress: OnProgress = lambda _: None) -> Tuning | None:
    """Do as `find_or_tune`, but where nothing can be measured, since normal mode fails there, return None.

    High-performance mode must not be what keeps text from being read: its caller reads in normal mode, in its own
    process, and a warning says so.
    """
    try:
        return find_or_tune(planned, on_progress)
    except TuningError as error:
        _log.warning("high-performance mode reads in normal mode: %s", error)
        return None


def made_before(planned: Plan, path: Path) -> Tuning:
    """Return the tuning in the file ``path``, made here or on an identical machine.

    Where it does not hold here, one warning says what differs; it is used all the same, since it was asked for, and the
    reader falls back to normal mode where something does not run.

    Raises:
        OptionError: There is no such file, or it is damaged, or of another model.
    """
    tuning = read_tuning(path)
    if tuning.model.fingerprint != planned.model.fingerprint:
        problem = f"{path} was measured with {tuning.model.name} of other weights or another vocabulary"
        raise OptionError("hpi_config", f"{problem} than {planned.model.path}; run 'ocrhpi tune' with this model")
    # A question is part of the file; its user asks none.
    parts = ("machine", "engines", "device")
    differing = differences(*({name: key.get(name) for name in parts} for key in (tuning.key, planned.key)))
    if differing:
        _log.warning("%s was made where other things hold (%s); its times may not", path, "; ".join(differing))
    return tuning


def tune(planned: Plan, on_progress: OnProgress = lambda _: None, *, quick: bool = False) -> Tuning:
    """Measure the candidates and choose, whatever is cached.

    Args:
        planned: What is measured.
        on_progress: Is told of every step.
        quick: Measure a few candidates, those that have won on machines like this one, on few lines.

    Raises:
        TuningError: Normal mode itself does not run, so that there is nothing to compare with.
    """
    # Here, since what finds a finished tuning measures nothing, and should start quickly.
    from ocrhpi.tuning.measure import measure  # noqa: PLC0415

    start, load = time.monotonic(), load_average()
    model, config, grid = planned.model, planned.config, planned.grid
    # A low precision alone, where no text may change, needs verification, for which a quick look has no time.
    quick = quick and (planned.objective.accuracy != "identical" or any(one.lossless for one in grid.likely))
    if quick:
        grid = replace(grid, candidates=grid.likely, left_out=())
    calibration = load_calibration(config.calibration_dir)
    if calibration.skipped:
        _log.warning("calibration: %d images left out; the first: %s", len(calibration.skipped), calibration.skipped[0])

    def measured() -> list[Row]:
        return measure(
            model,
            grid,
            calibration,
            planned.objective,
            Budget(_QUICK_S if quick else config.budget_s),
            effort=QUICK if quick else THOROUGH,
            cache_dir=config.cache_dir,
            on_progress=on_progress,
        )

    rows = rounded_rows(tuple(_once_more(measured, model, grid.baseline.name)))
    return Tuning(
        created=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        model=TunedModel.of(model),
        objective=planned.objective,
        key=planned.key,
        quick=quick,
        choice=choose(rows, planned.objective),
        seconds=time.monotonic() - start,
        load=None if load is None else (load, load_average() or 0.0),
        rows=rows,
    )


def _once_more(measured: Callable[[], list[Row]], model: Model, baseline: str, *, again: bool = True) -> list[Row]:
    """Measure; if normal mode's process dies, which an overloaded machine may do to any, once more.

    Raises:
        TuningError: Normal mode does not run, or no process can be started.
    """
    from ocrhpi.tuning.trial import Rejected  # noqa: PLC0415 - as in `tune`

    try:
        return measured()
    except Rejected as error:
        if not (again and error.died):
            raise TuningError(model.name, f"normal mode, {baseline!r}, does not run: {error}") from None
        _log.info("%s: normal mode, %r, is measured once more: %s", model.name, baseline, error)
    except OSError as error:
        raise TuningError(model.name, f"no process to measure in can be started: {error.strerror or error}") from error
    return _once_more(measured, model, baseline, again=False)
