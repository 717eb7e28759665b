"""A reader without an engine: the text of a line is its width, each width is a shape, and it fails when told to."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ocrhpi.backends.base import Effective
from ocrhpi.errors import BackendClosed, BackendError
from ocrhpi.model import Model, ModelFiles
from ocrhpi.reading.base import LineReader, Met, Shapes
from ocrhpi.values import InputSpec, LineImage, TextLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.reading.engine import EngineReader

MODEL = Model("fake", Path("fake"), ModelFiles(), InputSpec(), ("a",))


def line(width: int) -> LineImage:
    return LineImage(np.zeros((48, width, 3), np.uint8))


class FakeReader(LineReader):
    def __init__(self, name: str, batch_size: int = 1) -> None:
        self.model = MODEL
        self.batch_size = batch_size
        self.name = name
        self.failure: Exception | None = None
        self.widest: int | None = None  # in pixels; at wider lines it fails
        self.calls: list[tuple[int, int | None, bool]] = []
        self.margins: list[float] = []
        self.bound: int | None = 10
        self.met: list[int] = []  # widths
        self.closed = False
        self._lock = threading.Lock()

    @property
    def effective(self) -> Effective:
        return Effective(self.name, f"{self.name} 1.0", "cpu", "fp32", 2, {"of": self.name}, (f"note of {self.name}",))

    def read(
        self,
        lines: Sequence[LineImage],
        *,
        batch_size: int | None = None,
        return_word_box: bool = False,
        margin: float = 0.0,
    ) -> list[TextLine]:
        if self.closed:
            raise BackendClosed(self.name, "closed")
        with self._lock:
            self.calls.append((len(lines), batch_size, return_word_box))
            self.margins.append(margin)
        if self.failure is not None:
            raise self.failure
        if self.widest is not None and any(line.pixels.shape[1] > self.widest for line in lines):
            raise BackendError(self.name, "out of memory")
        return [TextLine(f"{self.name}:{line.pixels.shape[1]}", 1.0, margin=margin or None) for line in lines]

    @property
    def shapes(self) -> Shapes:
        return Shapes(len(set(self.met)), self.bound)

    def meet(self, lines: Sequence[LineImage]) -> Met:
        new = {line.pixels.shape[1] for line in lines} - set(self.met)
        self.met += sorted(new)
        return Met(len(new), float(len(new)))

    def engine_for(self, width: int) -> EngineReader:
        raise NotImplementedError(f"{self.name} has no engine for {width}")

    def close(self) -> None:
        self.closed = True
