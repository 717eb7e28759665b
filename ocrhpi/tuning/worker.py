"""The process around one candidate; a child as `ocrhpi.children` describes it. Commands are methods of `Session`.

Started by `ocrhpi.tuning.contestant`.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from ocrhpi.assembly import export_graphs, open_reader
from ocrhpi.candidate import Setup
from ocrhpi.children.serving import peak_memory_mib, run_child
from ocrhpi.model import load_model
from ocrhpi.reading.engine import EngineReader
from ocrhpi.tuning.calibration import load_calibration
from ocrhpi.tuning.verification import MOST_MARGIN
from ocrhpi.values import LineImage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.model import Model
    from ocrhpi.reading.base import LineReader
    from ocrhpi.values import TextLine

__all__ = ["Session", "main"]

_SETUPS: TypeAdapter[Setup] = TypeAdapter(Setup)


class Session:
    """The commands; arguments and values are plain, since they cross a process border as JSON."""

    def __init__(self) -> None:
        self._setup: Setup | None = None
        self._model: Model | None = None
        self._cache_dir: str | None = None
        self._lines: list[LineImage] = []
        self._reader: LineReader | None = None

    def prepare(
        self,
        model_path: str,
        stretch_width: int | None,
        setup: dict[str, Any],
        calibration_dir: str | None,
        cache_dir: str | None,
    ) -> int:
        """Read the model and the calibration lines, export what is missing; return the number of lines."""
        model = load_model(model_path)
        self._model = model.stretched(stretch_width)
        self._setup = _SETUPS.validate_python(setup, strict=False)
        self._cache_dir = cache_dir
        self._lines = [LineImage(line.pixels) for line in load_calibration(calibration_dir).lines]
        export_graphs(self._model, self._setup, cache_dir=cache_dir)
        return len(self._lines)

    def load(self) -> dict[str, Any]:
        """Load the engine; return how many seconds that took, and what really runs."""
        assert self._model is not None  # noqa: S101 - prepare() comes first
        assert self._setup is not None  # noqa: S101
        start = time.perf_counter()
        self._reader = open_reader(self._model, self._setup, cache_dir=self._cache_dir)
        return {"load_s": time.perf_counter() - start, "effective": asdict(self._reader.effective)}

    def texts(self, start: int, stop: int) -> list[tuple[str, float, float | None]]:
        """Read the lines from ``start`` to ``stop`` in one call; return text, score and, of a single engine, margin."""
        lines = self._lines[start:stop]
        if not isinstance(self._reader, EngineReader):
            return [(line.text, line.score, None) for line in self._read(lines)]
        backend = self._reader.backend
        backend.rival_margin = MOST_MARGIN
        try:
            read, margins = self._reader.read_with_margins(lines)
        finally:
            backend.rival_margin = 0.0  # what is timed does without
        return [(line.text, line.score, margin) for line, margin in zip(read, margins, strict=True)]

    def time_call(self, numbers: list[int]) -> dict[str, Any]:
        """Read the lines of these numbers in one call; return milliseconds per line, and the texts."""
        lines = [self._lines[number] for number in numbers]
        start = time.perf_counter()
        read = self._read(lines)
        seconds = time.perf_counter() - start
        return {"ms": 1e3 * seconds / len(lines), "texts": [line.text for line in read]}

    def time_lines(self, numbers: list[int]) -> dict[str, Any]:
        """Read the lines of these numbers one line a call; return the mean milliseconds of a call, and the texts."""
        start = time.perf_counter()
        texts = [self._read([self._lines[number]])[0].text for number in numbers]
        return {"ms": 1e3 * (time.perf_counter() - start) / len(numbers), "texts": texts}

    def time_engine(self, width: int, calls: int, lines: int) -> list[float]:
        """Run the engine alone on ``lines`` lines of ``width`` pixels; return each call's milliseconds per line."""
        assert self._reader is not None  # noqa: S101 - load() comes first
        reader = self._reader.engine_for(width)
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

    def _read(self, lines: Sequence[LineImage]) -> list[TextLine]:
        assert self._reader is not None  # noqa: S101 - load() comes first
        return self._reader.read(lines)


def main() -> None:
    """Serve the parent."""
    run_child(Session())
