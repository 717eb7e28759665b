"""Steps beside the timings, commands of their own: facts of the machine, the GPU tests, and a tuning of each model."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ocrhpi
from benchmarks.gpu_check.wheels import WHEEL_LOG
from ocrhpi.backends.gpu import gpu_packages
from ocrhpi.backends.registry import availability, backend_specs
from ocrhpi.errors import OptionError
from ocrhpi.machine import describe_machine
from ocrhpi.tuning.cache import read_tuning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.gpu_check.clock import Clock
    from ocrhpi.model import Model

__all__ = ["Line", "facts", "run_gpu_tests", "tune"]

_ROOT = Path(__file__).resolve().parents[2]
_TESTS = ("tests/backends/test_onnxruntime_gpu.py", "tests/backends/test_tensorrt_gpu.py")
_TUNE = "from ocrhpi.cli import main; main()"
_ASKED_OF_DRIVER = "name,driver_version,memory.total,compute_cap,power.limit,clocks.max.sm"
_DRIVER_S = 20.0
_MIN_TUNING_S = 8.0
_MEASURING = 0.6  # of the time of a tuning; the rest is for what a budget does not bound
_SAID = 500


@dataclass(frozen=True)
class Line:
    """How a step went.

    Attributes:
        step: Its name.
        good: Whether it did what it should.
        text: What came of it, or why it failed or was skipped.
    """

    step: str
    good: bool
    text: str


def facts(output: Path) -> dict[str, Any]:
    """Return what decides the times on this machine, as plain values; none of it is a reason to stop.

    Args:
        output: Where `benchmarks.gpu_check.wheels` left its log.
    """
    log = output / WHEEL_LOG
    return {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "ocrhpi": ocrhpi.__version__,
        "python": platform.python_version(),
        "machine": describe_machine(),
        "engines": {name: availability(spec).version for name, spec in backend_specs().items()},
        "gpu_packages": gpu_packages(),
        "nvidia-smi": _ask_driver(),
        "wheels": log.read_text("utf-8").splitlines() if log.is_file() else [],
    }


def run_gpu_tests(output: Path, clock: Clock) -> Line:
    """Run the tests that need a GPU; where there is none, they skip and say so."""
    command = [sys.executable, "-m", "pytest", "-q", "-rs", *_TESTS]
    code, said = _run(command, clock, output / "tests.log")
    return Line("GPU tests", code == 0, said)


def tune(model: Model, device: str, cache: Path, output: Path, clock: Clock) -> Line:
    """Tune a model as users do, and say what won; its file is kept in ``output``."""
    step = f"tuning of {model.name}"
    if clock.left < _MIN_TUNING_S:
        return Line(step, good=False, text="skipped: no time was left")
    file = output / f"{model.name}.yml"
    options = {
        "--device": device,
        "--budget": f"{_MEASURING * clock.left:.0f}",
        "--cache_dir": str(cache),
        "--output": str(file),
    }
    arguments = [part for option in options.items() for part in option]
    code, said = _run(
        [sys.executable, "-c", _TUNE, "tune", str(model.path), *arguments], clock, file.with_suffix(".log")
    )
    if code != 0:
        return Line(step, good=False, text=said)
    try:
        tuning = read_tuning(file)
    except OptionError as error:
        return Line(step, good=False, text=str(error))
    winner = tuning.rows[tuning.choice.winner].candidate.name
    measured = sum(row.outcome == "measured" for row in tuning.rows)
    said = f"{winner}; {tuning.choice.reason} {measured} of {len(tuning.rows)} candidates measured"
    return Line(step, good=True, text=said)


def _ask_driver() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return ["nvidia-smi is not there"]
    command = ["nvidia-smi", f"--query-gpu={_ASKED_OF_DRIVER}", "--format=csv"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=_DRIVER_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return [str(error)]
    return (run.stdout + run.stderr).splitlines()


def _run(command: Sequence[str], clock: Clock, log: Path) -> tuple[int | None, str]:
    """Run a command until the clock is up; return its exit status, None if it had to be stopped, and its last words."""
    log.parent.mkdir(parents=True, exist_ok=True)
    code = None
    with log.open("wb") as said:
        try:
            limit = clock.left
            run = subprocess.run(  # noqa: S603 - our own commands
                command, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=limit, check=False
            )
            code = run.returncode
        except subprocess.TimeoutExpired:
            pass
    words = " ".join(log.read_text("utf-8", "replace").split())[-_SAID:]
    return code, words if code is not None else f"stopped after {limit:.0f} s; its last words: {words or 'none'}"
