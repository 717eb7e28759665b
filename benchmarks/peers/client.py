"""The parent's end of a worker: requests with a time limit, and a reason when it crashes, hangs or reports an error."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from typing_extensions import Self

ROOT = Path(__file__).resolve().parents[2]
_CLOSE_S = 10.0
_LOG_CHARACTERS = 300


class WorkerFailed(Exception):
    """A worker reported an error, ended, or did not answer in time; the text is the reason."""


class Worker:
    """A worker process. Between requests it is stopped, so that its threads cannot spin while others are timed.

    Args:
        interpreter: Command that starts its Python.
        log: File for what it prints.
        stop_between: Whether to stop it between requests.
    """

    def __init__(self, interpreter: Sequence[str], log: Path, *, stop_between: bool = True) -> None:
        self.log = log
        self._stop_between = stop_between and hasattr(signal, "SIGSTOP")
        self._requests = 0
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [*interpreter, "-m", "benchmarks.peers.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                encoding="utf-8",
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        self._replies: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        threading.Thread(target=_pump, args=(self._process.stdout, self._replies), daemon=True).start()

    def ask(self, command: str, timeout_s: float, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
        """Send a request and return the value of the reply.

        Raises:
            WorkerFailed: It reported an error, or ended, or did not answer in ``timeout_s``; after the last two it
                is gone.
        """
        self._signal("SIGCONT")
        self._requests += 1
        self._send({"id": self._requests, "command": command, "arguments": arguments})
        reply = self._reply(command, timeout_s)
        if self._stop_between:
            self._signal("SIGSTOP")
        if "error" in reply:
            raise WorkerFailed(f"{command}: {reply['error']}")
        return reply["value"]

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._signal("SIGCONT")
            with contextlib.suppress(WorkerFailed):
                self._send({"id": 0, "command": "quit", "arguments": {}})
        try:
            self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdin is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None  # noqa: S101
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise WorkerFailed(f"{request['command']}: {self._ending()}") from error

    def _reply(self, command: str, timeout_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                line = self._replies.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self._process.kill()
                self._process.wait()
                raise WorkerFailed(f"{command}: no answer within {timeout_s:g} s") from None
            if line is None:
                self._replies.put(None)  # for whoever asks next
                raise WorkerFailed(f"{command}: {self._ending()}")
            # What an interpreter prints before the worker has taken stdout over is not a reply.
            with contextlib.suppress(json.JSONDecodeError):
                reply = json.loads(line)
                if isinstance(reply, dict) and reply.get("id") == self._requests:
                    return reply

    def _ending(self) -> str:
        try:
            code = self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            return "closed its output"
        how = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
        said = " ".join(self.log.read_text("utf-8", "replace").split())[-_LOG_CHARACTERS:]
        return f"{how}; its last words: {said or 'none'}"

    def _signal(self, name: str) -> None:
        if self._process.poll() is None and hasattr(signal, name):
            self._process.send_signal(getattr(signal, name))


def _pump(output: IO[str], replies: queue.SimpleQueue[str | None]) -> None:
    with output:
        for line in output:
            replies.put(line)
    replies.put(None)
