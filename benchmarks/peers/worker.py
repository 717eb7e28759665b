"""The process around a reader: one request a line on stdin, one reply a line on stdout, both JSON.

Request: ``{"id": 1, "command": "time", "arguments": {"mode": "throughput", "batch": 6}}``.
Reply: ``{"id": 1, "value": ...}`` or ``{"id": 1, "error": "..."}``. Commands are the public methods of `Session`.
Started by the parent as ``python -m benchmarks.peers.worker`` with the interpreter that has the system.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from benchmarks.peers.readers import Job

if TYPE_CHECKING:
    from benchmarks.peers.readers import Image, Reader

_BLANK_SHAPE = (48, 320, 3)
_WHITE = 255
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


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

    def memory(self) -> float:
        """Return the largest resident set so far, in MiB."""
        status = Path("/proc/self/status")
        if status.is_file():
            # Not ru_maxrss: on Linux it starts with the resident set of the process that called fork.
            kib = next(line.split()[1] for line in status.read_text("ascii").splitlines() if line.startswith("VmHWM"))
            return int(kib) / 1024
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (2**20 if sys.platform == "darwin" else 2**10)

    @property
    def _loaded(self) -> Reader:
        if self._reader is None:
            raise RuntimeError("nothing is loaded")
        return self._reader


def serve(requests: TextIO, replies: TextIO) -> None:
    """Answer requests until ``quit`` or the end of the input."""
    session = Session()
    for line in requests:
        request = json.loads(line)
        if request["command"] == "quit":
            return
        try:
            value = getattr(session, request["command"])(**request["arguments"])
            reply = {"id": request["id"], "value": value}
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is its row in the report
            reply = {"id": request["id"], "error": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"}
        replies.write(json.dumps(reply, default=str) + "\n")
        replies.flush()


def _claim_pipes() -> tuple[TextIO, TextIO]:
    """Take stdin and stdout away from the libraries: what they print, from Python or C, goes to stderr."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, replies


def _die_with_the_parent() -> None:
    """A worker is stopped while others run; one whose parent was killed would stay so for ever."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


if __name__ == "__main__":
    _die_with_the_parent()
    serve(*_claim_pipes())
