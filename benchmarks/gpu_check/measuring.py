"""One way on one model: a process is started, exports what is missing, loads, reads and is timed until time is up."""

from __future__ import annotations

import re
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu_check.ways import reason_against
from ocrhpi.workers.process import WorkerProcess, WorkerProcessFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.gpu_check.clock import Clock
    from benchmarks.gpu_check.ways import Way
    from ocrhpi.model import Model

__all__ = ["BATCHES", "PARTS", "Place", "Result", "count_equal_texts", "export", "measure"]

BATCHES = (1, 8, 64)
PARTS = (1, 8)
"""Lines of the batches whose copies are told apart."""

_ROOT = Path(__file__).resolve().parents[2]
_MIN_S = 5.0  # to start a process is no use in less
_MAX_S = 120.0  # of one way: TensorRT builds for minutes
_PASSES = 4
_PASSES_S = 2.0
_ENGINE_S = 0.7
_ENGINE_CALLS = (3, 30)
_NEW_WIDTHS = (347, 533, 797, 1171)  # of no line of the set; a request is new to an engine by its width


@dataclass(frozen=True)
class Place:
    """What all processes share.

    Attributes:
        cache: Where exports and engines are kept.
        logs: Directory for what the processes print.
        lines: How many of the shipped calibration lines are read.
    """

    cache: Path
    logs: Path
    lines: int


@dataclass
class Result:
    """What was found out; times in milliseconds.

    Attributes:
        model: Name of the model.
        way: Name of the way.
        candidate: The way as plain values.
        reason: Why it, or the rest of it, was not measured; empty if all was.
        effective: What really ran.
        load_s: Seconds to load, compiling included.
        first_pass_ms: Per line, of the first pass over all lines, one line a batch.
        passes_ms: By batch size, per line, of each further pass: from images to texts.
        engine_ms: By batch size, per line, of each call of the engine alone with lines of the base width.
        new_widths_ms: Of one line of a width not seen before, and of the same again.
        parts_ms: By batch size of `PARTS`, of each time that a batch of lines of the base width was ``read``, of each
            ``call`` of the engine with it, and of each run on the ``device`` alone, where the engine can be timed so.
        texts: What was read.
        texts_equal: How many are those of the baseline.
        peak_mib: Largest resident set of the process in MiB.
    """

    model: str
    way: str
    candidate: dict[str, Any]
    reason: str = ""
    effective: dict[str, Any] | None = None
    load_s: float | None = None
    first_pass_ms: float | None = None
    passes_ms: dict[int, list[float]] = field(default_factory=dict)
    engine_ms: dict[int, list[float]] = field(default_factory=dict)
    new_widths_ms: list[tuple[float, float]] = field(default_factory=list)
    parts_ms: dict[int, dict[str, list[float]]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    texts_equal: int | None = None
    peak_mib: float | None = None


class _Process:
    """The process of one way; every request is bounded by the clock.

    Args:
        model: The model.
        way: The way.
        place: What all processes share.
        clock: Time for this way.
    """

    def __init__(self, model: Model, way: Way, place: Place, clock: Clock) -> None:
        self._clock = clock
        name = re.sub("[^a-zA-Z0-9]+", "-", f"{model.name} {way.name}")
        command = [sys.executable, "-m", "benchmarks.gpu_check.worker"]
        self._child = WorkerProcess(command, place.logs / f"{name}.log", stop_between=False, cwd=_ROOT)
        self._arguments = {
            "source": model.source.model_dump(mode="json"),
            "setup": way.candidate.model_dump(mode="json"),
            "calibration_dir": None,
            "cache_dir": str(place.cache),
        }

    def prepare(self) -> int:
        """Export what is missing; return how many lines there are."""
        return int(self.ask("prepare", **self._arguments))

    def ask(self, command: str, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
        return self._child.ask(command, self._clock.left, **arguments)

    def close(self) -> None:
        """End it at once; there is nothing to save in it."""
        self._child.kill()
        self._child.close()


def export(model: Model, way: Way, place: Place, clock: Clock) -> str:
    """Export the graph of a way; return why that failed, or nothing."""
    process = _Process(model, way, place, clock.part(most=10 * _MAX_S))
    try:
        process.prepare()
    except WorkerProcessFailed as failure:
        return failure.reason
    finally:
        process.close()
    return ""


def measure(model: Model, way: Way, place: Place, clock: Clock) -> Result:
    """Measure one way on one model; whatever fails is the reason in the result, beside what was measured before.

    Args:
        model: The model.
        way: The way.
        place: What all processes share.
        clock: Time for all that is still to come.
    """
    result = Result(model.name, way.name, way.candidate.model_dump(mode="json", exclude_defaults=True))
    result.reason = reason_against(way)
    if not result.reason and clock.left < _MIN_S:
        result.reason = "no time was left"
    if result.reason:
        return result
    process = _Process(model, way, place, clock.part(most=_MAX_S))
    try:
        _fill(result, process, min(process.prepare(), place.lines), model.spec.base_width)
    except WorkerProcessFailed as failure:
        result.reason = str(failure)
    finally:
        process.close()
    return result


def count_equal_texts(results: Sequence[Result], baseline: str) -> None:
    """Compare what was read with what the baseline read of the same model."""
    expected = {result.model: result.texts for result in results if result.way == baseline and result.texts}
    for result in results:
        reference = expected.get(result.model)
        if result.texts and reference:
            result.texts_equal = sum(map(str.__eq__, result.texts, reference))


def _fill(result: Result, process: _Process, lines: int, width: int) -> None:
    loaded = process.ask("load")
    result.effective, result.load_s = loaded["effective"], loaded["load_s"]
    first = process.ask("read_all", count=lines, batch_size=1)
    result.first_pass_ms, result.texts = first["ms"], first["texts"]
    for batch in BATCHES:
        result.passes_ms[batch] = _time_passes(process, lines, batch)
    for batch in BATCHES:
        result.engine_ms[batch] = _time_engine(process, batch, width)
    for batch in PARTS:
        calls = _calls(statistics.median(result.engine_ms[batch]) * batch)
        result.parts_ms[batch] = process.ask("time_parts", lines=batch, width=width, calls=calls)
    # Last, since an engine that keeps what it does for a width may forget what was timed above.
    result.new_widths_ms = [tuple(pair) for pair in process.ask("time_new_widths", widths=list(_NEW_WIDTHS))]
    result.peak_mib = process.ask("memory")


def _time_passes(process: _Process, lines: int, batch: int) -> list[float]:
    """Read all lines until enough is known, at least once; the pass before, of new shapes, does not count."""
    process.ask("read_all", count=lines, batch_size=batch)
    passes: list[float] = []
    while not passes or (len(passes) < _PASSES and sum(passes) * lines < 1e3 * _PASSES_S):
        passes.append(float(process.ask("read_all", count=lines, batch_size=batch)["ms"]))
    return passes


def _time_engine(process: _Process, batch: int, width: int) -> list[float]:
    """Time the engine alone; the first calls do not count."""
    probe = statistics.median(process.ask("time_engine", width=width, calls=_ENGINE_CALLS[0], lines=batch))
    calls = _calls(probe * batch)
    return [float(ms) for ms in process.ask("time_engine", width=width, calls=calls, lines=batch)]


def _calls(ms: float) -> int:
    """Return how many calls of so many milliseconds are timed."""
    few, many = _ENGINE_CALLS
    return max(few, min(many, int(1e3 * _ENGINE_S / ms)))
