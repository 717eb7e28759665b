"""A reader that waits for permission, metrics that remember, and what tests of a server need."""

from __future__ import annotations

import base64
import importlib.util
import threading
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from tests.reading.fake_reader import FakeReader
from tests.tiny_model import write_config
from tests.tiny_onnx import write_tiny_onnx

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ocrhpi.values import LineImage, TextLine

needs_serve = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("fastapi", "prometheus_client", "uvicorn")),
    reason="the extra 'serve' is not installed",
)

WAIT_S = 30.0


class GatedReader(FakeReader):
    """Reads a batch only while its gate is open; remembers the widths of the lines of every batch."""

    def __init__(self, batch_size: int = 1) -> None:
        super().__init__("gated", batch_size)
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.batches: list[list[int]] = []
        self.poison: int | None = None  # width of a line at which a batch fails

    def read(
        self,
        lines: Sequence[LineImage],
        *,
        batch_size: int | None = None,
        return_word_box: bool = False,
        margin: float = 0.0,
    ) -> list[TextLine]:
        widths = [line.pixels.shape[1] for line in lines]
        self.batches.append(widths)
        self.entered.release()
        assert self.gate.wait(WAIT_S), "the test never opened the gate"
        if self.poison in widths:
            raise MemoryError(f"cannot read a line of {self.poison} pixels")
        return super().read(lines, batch_size=batch_size, return_word_box=return_word_box, margin=margin)


class Recorder:
    """Metrics that remember."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, int]] = []
        self.waiting = 0
        self.fills: list[tuple[int, int]] = []
        self.lines = 0

    def answered(self, route: str, status: int, seconds: float) -> None:
        assert seconds >= 0
        self.answers.append((route, status))

    def queued(self, lines: int) -> None:
        self.waiting = lines

    def batched(self, waited_s: list[float], most: int) -> None:
        assert all(seconds >= 0 for seconds in waited_s)
        self.fills.append((len(waited_s), most))

    def read(self, lines: int, seconds: float) -> None:
        assert seconds >= 0
        self.lines += lines


def write_tiny_onnx_model(directory: Path) -> Path:
    """Write a model that runs without Paddle, so that a process that serves it starts quickly."""
    directory.mkdir()
    write_config(directory)
    write_tiny_onnx(directory / "inference.onnx")
    return directory


def png(width: int, height: int = 48) -> bytes:
    """Return an encoded image with a pattern of its own for every size."""
    pixels = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def request_of(*widths: int, **fields: Any) -> dict[str, Any]:
    return {"files": [encoded(png(width)) for width in widths], **fields}
