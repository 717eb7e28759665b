"""Measure normal mode and high-performance mode of one model after the other, each mode in a process of its own."""

from __future__ import annotations

import logging
import random
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeAlias

from ocrhpi._version import __version__
from ocrhpi.bench.rows import BenchRow, ModeResult
from ocrhpi.catalog import locate, official_model, official_models
from ocrhpi.config.candidate import Candidate
from ocrhpi.errors import OcrhpiError, UnknownModel
from ocrhpi.files import temporary_folder, told_as_output, write_atomically
from ocrhpi.machine import describe_machine, load_average
from ocrhpi.model import file_name, load_model
from ocrhpi.tuner import find_or_tune, plan
from ocrhpi.tuning.calibration import load_calibration
from ocrhpi.tuning.gate import compare, known_lines
from ocrhpi.tuning.progress import Step
from ocrhpi.tuning.trial import Job, Rejected, Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ocrhpi.bench.rows import Accuracy, Mode, Weights
    from ocrhpi.config.candidate import ExecutionPlan
    from ocrhpi.config.hpi_config import HpiConfig
    from ocrhpi.model import Model
    from ocrhpi.tuner import Plan
    from ocrhpi.tuning.cache import Tuning
    from ocrhpi.tuning.calibration import CalibrationSet
    from ocrhpi.tuning.progress import OnProgress

    Judge: TypeAlias = Callable[[Path], Accuracy]
    """Says how accurate the model in a directory is."""

REFERENCE_MARK = "REFERENCE_WEIGHTS"
"""A file of this name in a model's directory says that its weights are random."""


def find_jobs(names: Sequence[str], models: Path | None = None) -> list[BenchJob]:
    """Find the weights of the models.

    Args:
        names: Official names, or names of directories in ``models``; ``all`` stands for all official models and all of
            those directories.
        models: A folder of model directories. Official weights in the cache are taken before reference weights in it.

    Raises:
        UnknownModel: A name that is neither.
    """
    folders = {path.name: path for path in sorted(models.iterdir()) if path.is_dir()} if models else {}
    wanted = [*official_models(), *(name for name in folders if name not in official_models())]
    chosen = wanted if "all" in names else list(dict.fromkeys(names))
    return [_job(name, folders.get(name)) for name in chosen]


def _job(name: str, folder: Path | None) -> BenchJob:
    is_reference = folder is not None and (folder / REFERENCE_MARK).is_file()
    try:
        official = official_model(name).name
    except UnknownModel:
        if folder is None:
            raise
        return BenchJob(name, folder, "reference" if is_reference else "own")
    cached = locate(official)
    if cached is not None and (folder is None or is_reference):
        return BenchJob(name, cached, "official")
    if folder is not None:
        weights: Weights = "reference" if is_reference else "own"
        return BenchJob(name, folder, weights)
    reason = (
        f"its weights are not here; 'ocrhpi models pull {name}' fetches them, --models names a folder that has them"
    )
    return BenchJob(name, None, "official", reason)


_log = logging.getLogger("ocrhpi")

_CALL_LINES = 32  # of the stream, that a round reads
_ENGINE_CALLS = 5
_GATE_LINES = 32  # of the modes that were not tuned; the winner has read all
_UNSTABLE = 0.15


@dataclass(frozen=True)
class BenchJob:
    """One model to be measured.

    Attributes:
        name: Its name.
        path: Its directory; None if its weights are not here.
        weights: Whose weights.
        reason: Why there is no directory.
    """

    name: str
    path: Path | None
    weights: Weights
    reason: str = ""


@dataclass(frozen=True)
class _Settings:
    """What holds for all models; as in `bench_all`."""

    config: HpiConfig
    device: str | None
    rounds: int
    batch_size: int
    on_progress: OnProgress


def row_path(output: Path, name: str) -> Path:
    """Return the file of a model's row."""
    return output / f"{file_name(name)}.json"


def bench_all(
    jobs: Sequence[BenchJob],
    config: HpiConfig,
    output: Path,
    *,
    device: str | None = None,
    rounds: int = 7,
    batch_size: int = 1,
    judge: Judge | None = None,
    on_progress: OnProgress = lambda _: None,
) -> Iterator[BenchRow]:
    """Measure the models that ``output`` has no row of, and yield every row as soon as it is there.

    A row is written as a whole or not at all, so an interrupted run goes on with the model that it was at; a failure is
    a row, which the next run tries again.

    Args:
        jobs: The models.
        config: How high-performance mode is tuned.
        output: Directory of the rows, made if need be.
        device: As for `ocrhpi.tuner.plan`.
        rounds: Rounds of all modes.
        batch_size: Lines in one call of the engine alone.
        judge: Says how accurate a model is; asked of rows that do not say so yet, except of random weights.
        on_progress: Is told of every step.

    Raises:
        OutputError: A row cannot be written.
    """
    with told_as_output(output):
        output.mkdir(parents=True, exist_ok=True)
    settings = _Settings(config, device, rounds, batch_size, on_progress)
    for job in jobs:
        path = row_path(output, job.name)
        row = _done(path)
        if row is None:
            row = _bench(job, settings)
            _write(row, path)
        if judge is not None and row.accuracy is None and not row.reason and row.weights != "reference":
            row = _judged(row, job, judge)
            _write(row, path)
        yield row


def _write(row: BenchRow, path: Path) -> None:
    with told_as_output(path):
        write_atomically(path, row.model_dump_json(indent=1, exclude_defaults=False, by_alias=True))


def _judged(row: BenchRow, job: BenchJob, judge: Judge) -> BenchRow:
    assert job.path is not None  # noqa: S101 - it was measured
    try:
        return row.model_copy(update={"accuracy": judge(job.path)})
    except OcrhpiError as error:
        # The times stand; the next run asks again.
        _log.warning("the accuracy of %s is not known: %s", job.name, error)
        return row


def _done(path: Path) -> BenchRow | None:
    """Return the row of a model that was measured before; None if it failed, or rests on faults that may be gone."""
    try:
        row = BenchRow.model_validate_json(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    passing = any(mode.passing in {"disk", "killed"} for mode in row.modes)
    return None if row.reason or passing or (row.tuning is not None and row.tuning.provisional) else row


def _bench(job: BenchJob, settings: _Settings) -> BenchRow:
    start, load = time.monotonic(), load_average()
    config = settings.config
    facts: dict[str, Any] = {
        "model": job.name,
        "weights": job.weights,
        "threads": config.cpu_threads,
        "machine": describe_machine(),
        "batch_size": settings.batch_size,
        "budget_s": config.budget_s,
        "precision": config.precision or "",
        "calibration": "" if config.calibration_dir is None else config.calibration_dir.resolve().name,
    }
    try:
        facts |= _measured(job, settings)
    except (OcrhpiError, Rejected) as error:
        facts["reason"] = str(error)
    return BenchRow(
        **facts,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seconds=time.monotonic() - start,
        load=None if load is None else (load, load_average() or 0.0),
    )


def _measured(job: BenchJob, settings: _Settings) -> dict[str, Any]:
    if job.path is None:
        raise Rejected(job.reason)
    config = settings.config.model_copy(update={"budget_s": settings.config.budget_s})  # given: to measure thoroughly
    model = load_model(job.path)
    planned = plan(model, config, settings.device)
    tuning = find_or_tune(planned, lambda step: settings.on_progress(_named(step, job.name)))
    calibration = load_calibration(config.calibration_dir)
    setups = _modes(planned, tuning)
    with temporary_folder() as logs:
        study = _Study(model, calibration, setups, logs, settings, job.name)
        modes = study.run(config.cache_dir)
    return {
        "fingerprint": model.fingerprint,
        "size_mib": sum(file.stat().st_size for file in model.files.source) / 2**20,
        "device": planned.device,
        "versions": {"ocrhpi": __version__, **planned.grid.engines},
        "modes": modes,
        "tuning": tuning,
        "unstable": _unsteady(modes),
    }


def _modes(planned: Plan, tuning: Tuning | None) -> dict[Mode, ExecutionPlan]:
    device, config = planned.device, planned.config
    threads = {} if config.cpu_threads is None else {"threads": config.cpu_threads}
    setups: dict[Mode, ExecutionPlan] = {}
    if planned.model.files.onnx_alone:
        setups["onnx"] = planned.grid.baseline
    elif device == "cpu":
        setups["plain"] = Candidate(backend="paddle", device=device, options={"onednn": False, **threads})
        setups["onednn"] = Candidate(backend="paddle", device=device, options={"onednn": True, **threads})
    else:
        setups["gpu"] = Candidate(backend="paddle", device=device)
    if tuning is not None:
        setups["high-performance"] = tuning.setups[0]
    return setups


@dataclass
class _Study:
    """The modes of one model, timed in interleaved rounds."""

    model: Model
    calibration: CalibrationSet
    setups: dict[Mode, ExecutionPlan]
    logs: Path
    settings: _Settings
    name: str
    trials: dict[Mode, Trial] = field(default_factory=dict)
    engine_ms: dict[Mode, list[float]] = field(default_factory=dict)

    def run(self, cache_dir: Path | None) -> tuple[ModeResult, ...]:
        """Return what was found out about each mode."""
        job = Job(self.model, self.calibration.directory, cache_dir, "throughput", _CALL_LINES, self.logs)
        with ExitStack() as stack:
            for number, (mode, setup) in enumerate(self.setups.items()):
                trial = Trial(setup, job, number)
                stack.callback(trial.close)
                self.trials[mode], self.engine_ms[mode] = trial, []
                self._attempt(mode, "loading", 0)
            rng = random.Random(0)  # noqa: S311 - not for secrets
            for number in range(self.settings.rounds):
                for mode in rng.sample(list(self.trials), len(self.trials)):
                    self._attempt(mode, "timing", number)
            return tuple(self._result(mode) for mode in self.setups)

    def _attempt(self, mode: Mode, doing: str, number: int) -> None:
        trial = self.trials[mode]
        if trial.reason:
            return
        rounds, lines = self.settings.rounds, self.settings.batch_size
        self.settings.on_progress(Step(f"{self.name}: {doing}", trial.setup.name, number, rounds, "", 0.0))
        try:
            if doing == "loading":
                trial.start(None)
                trial.read_to(min(_GATE_LINES, len(self.calibration.lines)), None)
                trial.time_screening(None)  # warm-up
                trial.meet_shapes(rounds, None)
                trial.time_engine(_ENGINE_CALLS, lines)
            else:
                trial.time_round(number, None)
                self.engine_ms[mode].append(statistics.median(trial.time_engine(_ENGINE_CALLS, lines)))
        except Rejected as error:
            trial.reject(error)

    def _result(self, mode: Mode) -> ModeResult:
        row = self.trials[mode].row()
        return ModeResult(
            mode=mode,
            setup=row.candidate,
            reason=row.reason,
            passing=row.passing,
            effective=row.effective,
            gate=self._gate(self.trials[mode]),
            load_s=row.load_s,
            peak_mib=row.peak_mib,
            engine_ms=() if row.reason else tuple(self.engine_ms[mode]),
            samples=() if row.reason else row.times,
        )

    def _gate(self, trial: Trial) -> Any:  # noqa: ANN401 - GateResult or None
        """Compare with the best normal mode that runs."""
        references = [self.trials[mode] for mode in ("onednn", "plain", "gpu", "onnx") if mode in self.trials]
        reference = next((one for one in references if not one.reason), None)
        if reference is None or trial.reason:
            return None
        lines = known_lines(((line.name, line.text) for line in self.calibration.lines), self.model.labels)
        return compare(lines[: len(trial.reading)], reference.reading, trial.reading, self.model.labels)


def _named(step: Step, name: str) -> Step:
    return Step(f"{name}: {step.doing}", step.candidate, step.done, step.total, step.leader, step.left_s)


def _unsteady(modes: Sequence[ModeResult]) -> str:
    """Say which mode's times spread too far to be trusted; empty if none does."""
    wide = []
    for mode in modes:
        if len(mode.engine_ms) >= 4:  # noqa: PLR2004 - quartiles need as many
            first, middle, third = statistics.quantiles(mode.engine_ms, n=4)
            if third - first > _UNSTABLE * middle:
                wide.append(f"{mode.mode}: the middle half of its rounds spreads over {(third - first) / middle:.0%}")
    return "; ".join(wide)
