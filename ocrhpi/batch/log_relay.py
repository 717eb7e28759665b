"""Warnings of a worker, which would otherwise end in a log that nobody reads: they travel with its answers."""

from __future__ import annotations

import logging

_log = logging.getLogger("ocrhpi")


class LogRelay(logging.Handler):
    """Collects the warnings of this package in this process."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._texts: list[str] = []
        _log.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self._texts.append(record.getMessage())

    def take(self) -> list[str]:
        """Return what came since the last time."""
        texts, self._texts = self._texts, []
        return texts


def relay(worker: str, texts: list[str]) -> None:
    """Log here what a worker said there."""
    for text in texts:
        _log.warning("worker %s: %s", worker, text)
