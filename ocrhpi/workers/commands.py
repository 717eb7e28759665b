"""The worker's end: one request a line on stdin, one reply a line on stdout."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import TextIO

from ocrhpi.files import disk_fault

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
_STATUS = "/proc/self/status"


def serve_commands(session: object) -> None:
    """Serve the parent until it asks to quit or is gone; the commands are the public methods of ``session``."""
    _die_with_the_parent()
    serve(session, *_claim_pipes())


def serve(session: object, requests: TextIO, replies: TextIO) -> None:
    """Answer requests until ``quit`` or the end of the input."""
    for line in requests:
        request = json.loads(line)
        if request["command"] == "quit":
            return
        try:
            value = getattr(session, request["command"])(**request["arguments"])
            reply = {"id": request["id"], "value": value}
        except Exception as error:  # noqa: BLE001 - whatever an engine raises is the parent's to judge
            said = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
            reply = {"id": request["id"], "error": said, "passing": "disk" if disk_fault(error) else ""}
        replies.write(json.dumps(reply, default=str) + "\n")
        replies.flush()


def peak_memory_mib() -> float:
    """Return the largest resident set of this process so far, in MiB."""
    if os.path.isfile(_STATUS):  # noqa: PTH113 - pathlib is not needed otherwise
        # Not ru_maxrss: on Linux it starts with the resident set of the process that called fork.
        with open(_STATUS, encoding="ascii", errors="replace") as status:  # noqa: PTH123
            return int(next(line.split()[1] for line in status if line.startswith("VmHWM"))) / 1024
    try:
        import resource  # noqa: PLC0415 - Unix only
    except ImportError:
        return 0.0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def _claim_pipes() -> tuple[TextIO, TextIO]:
    """Take stdin and stdout away from the libraries: what they print, from Python or C, goes to stderr."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, replies


def _die_with_the_parent() -> None:
    """A child is stopped while others run; one whose parent was killed would stay so for ever."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
