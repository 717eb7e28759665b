"""A child that behaves in every way a child can; run as ``python -m tests.workers.fake_session``."""

from __future__ import annotations

import errno
import os
import signal
import time

from ocrhpi.workers.commands import peak_memory_mib, serve_commands


class FakeSession:
    def echo(self, value: object) -> object:
        print("noise from Python")  # noqa: T201 - what libraries do
        os.write(1, b"noise from C\n")
        return value

    def fail(self) -> None:
        raise RuntimeError("out of memory\n  in a traceback")

    def fill(self) -> None:
        raise RuntimeError("the graph could not be saved") from OSError(errno.ENOSPC, "told by nobody")

    def crash(self, name: str) -> None:
        os.kill(os.getpid(), signal.Signals[name])

    def hang(self) -> None:
        time.sleep(600)

    def memory(self) -> float:
        return peak_memory_mib()


if __name__ == "__main__":
    serve_commands(FakeSession())
