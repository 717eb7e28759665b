"""The process around one candidate; a child as `ocrhpi.workers` describes it. Commands are methods of `Session`.

Started by `ocrhpi.tuning.trial`.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from ocrhpi.assembly import export_graphs, open_reader
from ocrhpi.config.candidate import ExecutionPlan
from ocrhpi.model import ModelSource, load_model
from ocrhpi.reading.base import Met
from ocrhpi.tuning.calibration import load_calibration
from ocrhpi.tuning.verification import MAX_MARGIN
from ocrhpi.values import LineImage
from ocrhpi.workers.commands import peak_memory_mib, serve_commands

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.measuring.stream import LineStream
    from ocrhpi.model import Model
    from ocrhpi.reading.base import LineReader

_SETUPS: TypeAdapter[ExecutionPlan] = TypeAdapter(ExecutionPlan)


class Session:
    """The commands; arguments and values are plain, since they cross a process border as JSON."""

    def __init__(self) -> None:
        self._setup: ExecutionPlan | None = None
        self._model: Model | None = None
        self._cache_dir: str | None = None
        self._lines: list[LineImage] = []
        self._stream: LineStream | None = None
        self._reader: LineReader | None = None
        self._met = Met()

    def prepare(
        self,
        source: dict[str, Any],
        setup: dict[str, Any],
        calibration_dir: str | None,
        cache_dir: str | None,
    ) -> int:
        """Read the model and the calibration lines, export what is missing; return the number of lines."""
        self._model = load_model(ModelSource.model_validate(source))
        self._setup = _SETUPS.validate_python(setup, strict=False)
        self._cache_dir = cache_dir
        calibration = load_calibration(calibration_dir)
        self._lines = [LineImage(line.pixels) for line in calibration.lines]
        self._stream = calibration.stream(self._model.spec)
        export_graphs(self._model, self._setup, cache_dir=cache_dir)
        return len(self._lines)

    def load(self) -> dict[str, Any]:
        """Load the engine; return how many seconds that took, and what really runs."""
        assert self._model is not None  # noqa: S101 - prepare() comes first
        assert self._setup is not None  # noqa: S101
        start = time.perf_counter()
        self._reader = open_reader(self._model, self._setup, cache_dir=self._cache_dir)
        return {
            "load_s": time.perf_counter() - start,
            "effective": asdict(self._reader.effective),
            "endless_shapes": self._reader.shapes.bound is None,
        }

    def texts(self, numbers: list[int], *, margins: bool) -> list[tuple[str, float, float | None]]:
        """Read the calibration lines of these numbers in one call; return text, score and, if asked for, margin."""
        return self._texts([self._lines[number] for number in numbers], margins)

    def stream_texts(self, stop: int, *, margins: bool) -> list[tuple[str, float, float | None]]:
        """Read the first ``stop`` lines of the stream, likewise."""
        return self._texts(self._part(0, stop), margins)

    def time_stream(self, start: int, stop: int, *, alone: bool, every: int) -> float:
        """Read a part of the stream, in one call or one line a call; return milliseconds per line.

        Args:
            start: First line.
            stop: Line after the last.
            alone: One line a call.
            every: Read every so many of the lines, sorted by shape.
        """
        lines = self._part(start, stop)
        if every > 1:
            lines = sorted(lines, key=lambda line: line.pixels.shape[1] / line.pixels.shape[0])[every // 2 :: every]
        began = time.perf_counter()
        if alone:
            for line in lines:
                self._loaded.read([line])
        else:
            self._loaded.read(lines)
        return 1e3 * (time.perf_counter() - began) / len(lines)

    def meet(self, parts: list[tuple[int, int]], *, alone: bool) -> float:
        """Run each shape that reading these parts of the stream will need and that was not met yet.

        Returns:
            Milliseconds that meeting all shapes that can come takes, judged by those that were met so far.
        """
        for start, stop in parts:
            lines = self._part(start, stop)
            for call in [[line] for line in lines] if alone else [lines]:
                self._met = self._met.plus(self._loaded.meet(call))
        return 1e3 * self._met.seconds * (self._loaded.shapes.bound or 0) / max(1, self._met.shapes)

    def time_engine(self, width: int, calls: int, lines: int) -> list[float]:
        """Run the engine alone on ``lines`` lines of ``width`` pixels; return each call's milliseconds per line."""
        reader = self._loaded.engine_for(width)
        line = np.random.default_rng(0).integers(0, 256, (reader.model.spec.height, width, 3), np.uint8)
        requests = reader.prepare([LineImage(line)] * lines, batch_size=lines)
        times = []
        for _ in range(calls):
            start = time.perf_counter()
            for request in requests:
                reader.backend.run(*request)
            times.append(1e3 * (time.perf_counter() - start) / lines)
        return times

    def memory(self) -> float:
        """Return the largest resident set so far, in MiB."""
        return peak_memory_mib()

    @property
    def _loaded(self) -> LineReader:
        assert self._reader is not None  # noqa: S101 - load() comes first
        return self._reader

    def _texts(self, lines: Sequence[LineImage], margins: bool) -> list[tuple[str, float, float | None]]:  # noqa: FBT001
        read = self._loaded.read(lines, margin=MAX_MARGIN if margins else 0.0)
        return [(line.text, line.score, line.margin) for line in read]

    def _part(self, start: int, stop: int) -> Sequence[LineImage]:
        assert self._stream is not None  # noqa: S101 - prepare() comes first
        return [LineImage(line) for line in self._stream.part(start, stop)]


def main() -> None:
    """Serve the parent."""
    serve_commands(Session())
