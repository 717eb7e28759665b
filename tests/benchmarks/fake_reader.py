"""A system that misbehaves as told; apart from the tests, so that a worker starts quickly."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.peers.readers import Job

TEXTS = ["ab", "cd", "ef"]


class FakeReader:
    """Reads line ``n`` as ``TEXTS[n]``; each option makes it misbehave at one batch size, or at loading."""

    def __init__(self, job: Job) -> None:
        self.options = job.options
        self.calls = 0
        print("noise from Python at loading")  # noqa: T201
        os.write(1, b'{"id": 1, "value": "noise from C, shaped like a reply"}\n')
        if job.options.get("at_loading"):
            raise ValueError("no such engine")
        self.effective = {
            "precision": job.options.get("precision", "fp32"),
            "threads": job.threads,
            "versions": {"fake": "1"},
        }

    def read_one(self, image: Any) -> str:
        print("noise at reading")  # noqa: T201
        return TEXTS[0] if image.max() == 255 else TEXTS[int(image.max())]

    def read_all(self, images: Any, batch: int) -> list[str]:
        if batch == self.options.get("crash"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if batch == self.options.get("hang"):
            time.sleep(600)
        if batch == self.options.get("error"):
            raise RuntimeError("out of memory\n  in a traceback of two lines")
        self.calls += 1
        if self.calls > self.options.get("calls", self.calls):
            raise RuntimeError("too many calls")
        time.sleep(self.options.get("slow", {}).get(str(batch), 0.0))
        texts = [self.read_one(image) for image in images]
        if batch == self.options.get("short"):
            return texts[:-1]
        return [*texts[:-1], "??"] if batch == self.options.get("wrong") else texts
