"""A worker's end; a child as `ocrhpi.workers` describes it. Commands are methods of `Session`.

Started by `ocrhpi.batch.pool`. Its warnings would end in a log that nobody reads, so they travel with its answers.
"""

from __future__ import annotations

import base64
import logging
import signal
from typing import TYPE_CHECKING, Any

from ocrhpi.batch.reading import read_cells
from ocrhpi.batch.tunings import shared_predictor
from ocrhpi.config.reading_options import reading_options
from ocrhpi.loader import batch_size_of
from ocrhpi.workers.commands import serve_commands

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.batch.reading import Cell, Reading

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


class Session:
    """The commands; arguments and values are plain, since they cross a process border as JSON."""

    def __init__(self) -> None:
        self._said = LogRelay()

    def read(self, options: dict[str, Any], cells: Sequence[Any]) -> tuple[list[Reading], list[str]]:
        """Return text, score and error of each cell, and warnings; the predictor is opened at the first call."""
        asked = reading_options(**options)
        predictor = shared_predictor(asked)
        return read_cells(predictor, map(_cell, cells), batch_size_of(asked)), self._said.take()


def main() -> None:
    """Serve the parent; Ctrl-C at the terminal, which all its processes get, is the parent's to act on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve_commands(Session())


def _cell(cell: Any) -> Cell:  # noqa: ANN401 - JSON
    return base64.b64decode(cell["base64"]) if isinstance(cell, dict) else cell
