"""The process around one way: that of a tuning's candidate, and what a tuning does not ask.

Started by `benchmarks.gpu_check.measuring` as ``python -m benchmarks.gpu_check.worker``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ocrhpi.tuning.worker import Session
from ocrhpi.values import LineImage
from ocrhpi.workers.commands import serve_commands

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrhpi.reading.base import LineReader

__all__ = ["CheckSession"]


class CheckSession(Session):
    """The commands."""

    def read_all(self, count: int, batch_size: int) -> dict[str, Any]:
        """Read the first ``count`` lines in one call; return milliseconds per line, and the texts."""
        lines = self._lines[:count]
        start = time.perf_counter()
        read = self._loaded.read(lines, batch_size=batch_size)
        return {"ms": 1e3 * (time.perf_counter() - start) / len(lines), "texts": [line.text for line in read]}

    def time_new_widths(self, widths: list[int]) -> list[tuple[float, float]]:
        """Read one line of each width twice; return the milliseconds of both calls."""
        return [_first_and_second(self._loaded, self._noise(width)) for width in widths]

    def time_parts(self, lines: int, width: int, calls: int) -> dict[str, list[float]]:
        """Time a batch of ``lines`` lines of ``width`` pixels: read, run by the engine, and run without the copies.

        Returns:
            Milliseconds of each call, as ``read``, ``call`` and, of an engine that can be timed so, ``device``.
        """
        reader = self._loaded.engine_for(width)
        backend = reader.backend
        images = [self._noise(width)] * lines
        (request,) = reader.prepare(images, batch_size=lines)
        parts = {
            "read": _timed(lambda: reader.read(images, batch_size=lines), calls),
            "call": _timed(lambda: backend.run(*request), calls),
        }
        device_ms = getattr(backend, "device_ms", None)
        if device_ms is not None:
            batch = request[0]
            parts["device"] = device_ms(batch.shape[0], batch.shape[2 if backend.takes_pixels else 3], calls)
        return parts

    @property
    def _loaded(self) -> LineReader:
        assert self._reader is not None  # noqa: S101 - load() comes first
        return self._reader

    def _noise(self, width: int) -> LineImage:
        height = self._loaded.engine_for(width).model.spec.height
        return LineImage(np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8))


def _first_and_second(reader: LineReader, line: LineImage) -> tuple[float, float]:
    first, second = _timed(lambda: reader.read([line]), 2, warm_ups=0)
    return first, second


def _timed(action: Callable[[], object], calls: int, *, warm_ups: int = 2) -> list[float]:
    """Return the milliseconds of each call after the warm-ups."""
    times = []
    for number in range(warm_ups + calls):
        start = time.perf_counter()
        action()
        if number >= warm_ups:
            times.append(1e3 * (time.perf_counter() - start))
    return times


if __name__ == "__main__":
    serve_commands(CheckSession())
