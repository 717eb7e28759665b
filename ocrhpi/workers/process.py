"""The parent's end: requests with a time limit, and a reason when the child crashes, hangs or reports an error."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from typing import IO, TYPE_CHECKING, Any

from ocrhpi.cache import spare_environment
from ocrhpi.closing import Closing
from ocrhpi.forks import never_free, renew_in_children

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


_CLOSE_S = 10.0
# What comes from outside; the others, such as SIGSEGV, are faults of what runs there.
_FROM_OUTSIDE = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
_LOG_CHARACTERS = 300


class WorkerProcessFailed(Exception):
    """A child reported an error, ended, or did not answer in time.

    Args:
        command: What it was asked.
        reason: What happened; a phrase.
        passing: Why the same may go well another time: ``disk`` (full, or not to be written to), ``killed`` (from
            outside) or ``time``; empty: it would not.
        died: Whether it ended by itself.
    """

    def __init__(self, command: str, reason: str, passing: str = "", *, died: bool = False) -> None:
        super().__init__(f"{command}: {reason}")
        self.reason = reason
        self.passing = passing
        self.died = died


class WorkerProcess(Closing):
    """A child process. Between requests it is stopped, so that its threads cannot spin while others are timed.

    It belongs to the process that started it; one that is forked from that one neither asks nor ends it.

    Args:
        command: What starts it; the program calls `ocrhpi.workers.commands.serve_commands`.
        log: File for what it prints.
        stop_between: Whether to stop it between requests; on Linux only, where it ends with its parent.
        cwd: Its working directory; None: the parent's.
    """

    def __init__(
        self, command: Sequence[str], log: Path, *, stop_between: bool = True, cwd: Path | None = None
    ) -> None:
        self.log = log
        self._stop_between = stop_between and sys.platform == "linux"
        self._requests = 0
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                encoding="utf-8",
                cwd=cwd,
                env={**os.environ, **spare_environment(), "PYTHONUNBUFFERED": "1"},
            )
        self._replies: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        self._pump = threading.Thread(target=_pump, args=(self._process.stdout, self._replies), daemon=True)
        self._pump.start()
        self._ours = True
        renew_in_children(self)

    @property
    def alive(self) -> bool:
        """Whether the process runs, and is ours."""
        return self._ours and self._process.poll() is None

    def ask(self, command: str, timeout_s: float, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
        """Send a request and return the value of the reply.

        Raises:
            WorkerProcessFailed: It reported an error, or ended, or did not answer in ``timeout_s``; after the last two
                it is gone.
        """
        if not self._ours:
            raise WorkerProcessFailed(command, "asked by a process that was forked from the one that started it")
        self._signal("SIGCONT")
        self._requests += 1
        self._send({"id": self._requests, "command": command, "arguments": arguments})
        reply = self._reply(command, timeout_s)
        if self._stop_between:
            self._signal("SIGSTOP")
        if "error" in reply:
            raise WorkerProcessFailed(command, reply["error"], reply.get("passing", ""))
        return reply["value"]

    def close(self) -> None:
        """End the process; closing twice is fine."""
        if not self._ours:
            return
        if self.alive:
            self._signal("SIGCONT")
            with contextlib.suppress(WorkerProcessFailed):
                self._send({"id": 0, "command": "quit", "arguments": {}})
        try:
            self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self.kill()
        assert self._process.stdin is not None  # noqa: S101
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._pump.join(_CLOSE_S)

    def kill(self) -> None:
        """End the process at once: for one that was only read from, there is nothing to save."""
        if not self._ours:
            return
        self._process.kill()
        self._process.wait()

    def renew_after_fork(self) -> None:
        """Let go of the process, and of the ends of its pipes: else it would not notice that its parent is gone."""
        self._ours = False
        never_free(self._process)  # freed, it would write what the parent is about to write
        nowhere = os.open(os.devnull, os.O_RDWR)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                os.dup2(nowhere, pipe.fileno(), inheritable=False)
        os.close(nowhere)

    def _send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None  # noqa: S101
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise self._ended(request["command"]) from error

    def _reply(self, command: str, timeout_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                line = self._replies.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self.kill()
                raise WorkerProcessFailed(command, f"no answer within {timeout_s:.3g} s", "time") from None
            if line is None:
                self._replies.put(None)  # for whoever asks next
                raise self._ended(command)
            # What an interpreter prints before the child has taken stdout over is not a reply.
            with contextlib.suppress(json.JSONDecodeError):
                reply = json.loads(line)
                if isinstance(reply, dict) and reply.get("id") == self._requests:
                    return reply

    def _ended(self, command: str) -> WorkerProcessFailed:
        try:
            code = self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            return WorkerProcessFailed(command, "closed its output")
        name = signal.Signals(-code).name if code < 0 else ""
        how = f"died of {name}" if name else f"ended with exit status {code}"
        if name == "SIGKILL":
            how += " (out of memory?)"
        said = " ".join(self.log.read_text("utf-8", "replace").split())[-_LOG_CHARACTERS:]
        passing = "killed" if name in _FROM_OUTSIDE else ""
        return WorkerProcessFailed(command, f"{how}; its last words: {said or 'none'}", passing, died=True)

    def _signal(self, name: str) -> None:
        if self.alive and hasattr(signal, name):
            self._process.send_signal(getattr(signal, name))


def _pump(output: IO[str], replies: queue.SimpleQueue[str | None]) -> None:
    with output:
        for line in output:
            replies.put(line)
    replies.put(None)
