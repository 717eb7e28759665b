"""How far a build is, said in the log now and then, and a limit to how long it may take."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrhpi.backends.trt.names import TensorRt

_INTERVAL_S = 5.0
_log = logging.getLogger("ocrhpi.tensorrt")


class BuildMonitor(Protocol):
    """A ``tensorrt.IProgressMonitor`` with a limit."""

    expired: bool
    """Whether the build was stopped at the limit."""
    interrupted: bool
    """Whether it was stopped from the keyboard."""


def log_progress(phase: str, done: int, steps: int) -> None:
    """Report to the log."""
    _log.info("TensorRT builds: %s, %d of %d", phase, done, steps)


def make_monitor(trt: TensorRt, seconds: float | None, report: Callable[[str, int, int], None]) -> BuildMonitor | None:
    """Return a monitor for one build; None where TensorRT (before 10) knows no monitors and cannot be stopped.

    Args:
        trt: The module ``tensorrt``.
        seconds: The build is stopped after so many; None: never.
        report: Gets the name of a phase, its steps done and its steps, every few seconds.
    """
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.expired = False
            self.interrupted = False
            self._started = self._said = time.monotonic()
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:  # noqa: ARG002
            self._steps[phase_name] = num_steps

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            """Return whether to go on."""
            try:
                now = time.monotonic()
                if now - self._said >= _INTERVAL_S:
                    self._said = now
                    report(phase_name, step + 1, self._steps.get(phase_name, step + 1))
                if seconds is not None and now - self._started > seconds:
                    self.expired = True
            except KeyboardInterrupt:  # would be lost in TensorRT, which calls this
                self.interrupted = True
            return not (self.expired or self.interrupted)

    monitor: BuildMonitor = Monitor()
    return monitor
