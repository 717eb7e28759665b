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

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["Child", "ChildFailed"]

_CLOSE_S = 10.0
_LOG_CHARACTERS = 300


class ChildFailed(Exception):
    """A child reported an error, ended, or did not answer in time.

    Args:
        command: What it was asked.
        reason: What happened; a phrase.
    """

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"{command}: {reason}")
        self.reason = reason


class Child:
    """A child process. Between requests it is stopped, so that its threads cannot spin while others are timed.

    Args:
        command: What starts it; the program calls `ocrhpi.children.serving.run_child`.
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
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        self._replies: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        self._pump = threading.Thread(target=_pump, args=(self._process.stdout, self._replies), daemon=True)
        self._pump.start()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def ask(self, command: str, timeout_s: float, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
        """Send a request and return the value of the reply.

        Raises:
            ChildFailed: It reported an error, or ended, or did not answer in ``timeout_s``; after the last two it
                is gone.
        """
        self._signal("SIGCONT")
        self._requests += 1
        self._send({"id": self._requests, "command": command, "arguments": arguments})
        reply = self._reply(command, timeout_s)
        if self._stop_between:
            self._signal("SIGSTOP")
        if "error" in reply:
            raise ChildFailed(command, reply["error"])
        return reply["value"]

    def close(self) -> None:
        """End the process; closing twice is fine."""
        if self.alive:
            self._signal("SIGCONT")
            with contextlib.suppress(ChildFailed):
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
        self._process.kill()
        self._process.wait()

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
        except (OSError, ValueError) as error:
            raise ChildFailed(request["command"], self._ending()) from error

    def _reply(self, command: str, timeout_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                line = self._replies.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self.kill()
                raise ChildFailed(command, f"no answer within {timeout_s:.3g} s") from None
            if line is None:
                self._replies.put(None)  # for whoever asks next
                raise ChildFailed(command, self._ending())
            # What an interpreter prints before the child has taken stdout over is not a reply.
            with contextlib.suppress(json.JSONDecodeError):
                reply = json.loads(line)
                if isinstance(reply, dict) and reply.get("id") == self._requests:
                    return reply

    def _ending(self) -> str:
        try:
            code = self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            return "closed its output"
        how = f"died of {_signal_name(-code)}" if code < 0 else f"ended with exit status {code}"
        said = " ".join(self.log.read_text("utf-8", "replace").split())[-_LOG_CHARACTERS:]
        return f"{how}; its last words: {said or 'none'}"

    def _signal(self, name: str) -> None:
        if self.alive and hasattr(signal, name):
            self._process.send_signal(getattr(signal, name))


def _signal_name(number: int) -> str:
    name = signal.Signals(number).name
    return f"{name} (out of memory?)" if name == "SIGKILL" else name


def _pump(output: IO[str], replies: queue.SimpleQueue[str | None]) -> None:
    with output:
        for line in output:
            replies.put(line)
    replies.put(None)
