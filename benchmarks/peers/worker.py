"""The process around a reader; a child as `ocrhpi.workers` describes it. Commands are the methods of `Session`.

Started by the parent as ``python -m benchmarks.peers.worker`` with the interpreter that has the system.
"""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers.readers import Job
from ocrhpi.workers.commands import peak_memory_mib, serve_commands

if TYPE_CHECKING:
    from benchmarks.peers.readers import Image, Reader

_BLANK_SHAPE = (48, 320, 3)
_WHITE = 255


class Session:
    """The commands."""

    def __init__(self) -> None:
        self._images: list[Image] = []
        self._reader: Reader | None = None

    def load(self, reader: str, lines: str, job: dict[str, Any]) -> dict[str, Any]:
        """Load the lines and the system; return what really runs."""
        with np.load(lines) as arrays:
            self._images = [arrays[name] for name in sorted(arrays.files)]
        module, name = reader.split(":")
        made: Reader = getattr(importlib.import_module(module), name)(Job(**job))
        self._reader = made
        return made.effective

    def blank(self) -> None:
        """Read one blank line: starts threads and fills what does not depend on the width."""
        self._loaded.read_one(np.full(_BLANK_SHAPE, _WHITE, np.uint8))

    def texts(self, batch: int) -> list[str]:
        """Read all lines once, untimed, which also warms up; return what they say."""
        return self._loaded.read_all(self._images, batch)

    def time(self, mode: str, batch: int) -> dict[str, Any]:
        """Read all lines, ``throughput``: in one call; ``latency``: one line a call."""
        reader = self._loaded
        if mode == "throughput":
            start = time.perf_counter()
            texts = reader.read_all(self._images, batch)
            return {"seconds": time.perf_counter() - start, "texts": texts}
        times = []
        for image in self._images:
            start = time.perf_counter()
            reader.read_one(image)
            times.append((time.perf_counter() - start) * 1e3)
        return {"line_ms": times}

    def stream(self, lines: str, call: int, batch: int) -> dict[str, Any]:
        """Read the lines of that file, ``call`` of them in one call; loading them is not timed."""
        reader, seconds, texts = self._loaded, 0.0, []
        with np.load(lines) as arrays:
            names = sorted(arrays.files)
            for first in range(0, len(names), call):
                images = [arrays[name] for name in names[first : first + call]]
                start = time.perf_counter()
                read = reader.read_all(images, batch)
                seconds += time.perf_counter() - start
                if len(read) != len(images):
                    raise RuntimeError(f"{len(images)} lines gave {len(read)} texts")
                texts += read
        return {"seconds": seconds, "texts": texts}

    def memory(self) -> float:
        """Return the largest resident set so far, in MiB."""
        return peak_memory_mib()

    @property
    def _loaded(self) -> Reader:
        if self._reader is None:
            raise RuntimeError("nothing is loaded")
        return self._reader


if __name__ == "__main__":
    serve_commands(Session())
