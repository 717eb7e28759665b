"""Starts workers: the interpreter, the files and the job of each system."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrhpi.workers.process import WorkerProcess, WorkerProcessFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.peers.systems import System

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Starter:
    """What all workers share.

    Attributes:
        interpreters: Interpreters by environment, ``ours`` and those of peers, or the reason why there is none.
        files: Model directories by kind, or the reason why there is none.
        lines: The images, as `Lines.save` wrote them.
        logs: Directory for what the workers print.
        model_name: Official name of the model.
        threads: CPU threads of every system.
        timeout_s: Longest time for any request.
    """

    interpreters: Mapping[str, Path | str]
    files: Mapping[str, Path | str]
    lines: Path
    logs: Path
    model_name: str
    threads: int
    timeout_s: float

    def start(self, system: System, name: str) -> tuple[WorkerProcess, dict[str, Any]]:
        """Return a worker that has loaded ``system`` and read a blank line, and what really runs in it.

        Raises:
            WorkerProcessFailed: It could not; the worker is gone.
        """
        interpreter, files = self.interpreters[system.environment], self.files[system.files]
        for missing in (interpreter, files):
            if isinstance(missing, str):
                raise WorkerProcessFailed("start", missing)
        command = [str(interpreter), "-m", "benchmarks.peers.worker"]
        worker = WorkerProcess(command, self.logs / f"{re.sub('[^a-zA-Z0-9]+', '-', name)}.log", cwd=_ROOT)
        job = {
            "model_name": self.model_name,
            "path": str(files),
            "threads": self.threads,
            "options": dict(system.options),
        }
        try:
            effective = worker.ask("load", self.timeout_s, reader=system.reader, lines=str(self.lines), job=job)
            worker.ask("blank", self.timeout_s)
        except BaseException:
            worker.close()
            raise
        return worker, effective
