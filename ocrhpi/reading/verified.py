"""Low precision first; the lines in which the network hesitated are read again in full precision."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

from ocrhpi.backends.base import Effective
from ocrhpi.reading.base import LineReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.reading.engine import EngineReader
    from ocrhpi.values import LineImage, TextLine

__all__ = ["VerifiedReader"]

_log = logging.getLogger("ocrhpi")

WATCHED_LINES = 500
"""The share of lines read again is taken over so many of the latest lines."""


class VerifiedReader(LineReader):
    """Reads with a low precision, and again in full precision what might read otherwise there.

    A line in which no class within the threshold of the most probable one makes another text (see
    `ocrhpi.recognition.doubt`) keeps its text. The second pass follows the first within a call: two engines at the same
    time share out the cores of one machine worse than either uses them alone.

    When so many lines are read again that full precision alone would be quicker, it reads alone from then on.

    Args:
        low: Reads in low precision.
        full: Reads in full precision.
        threshold: Margin of probability from which on a line is not read again; ``low`` looks for rivals within it.
        break_even: Share of lines read again from which on ``full`` alone is quicker.
    """

    def __init__(self, low: EngineReader, full: EngineReader, *, threshold: float, break_even: float) -> None:
        self.model = full.model
        self.batch_size = max(low.batch_size, full.batch_size)
        self._low = low
        self._full = full
        self._threshold = threshold
        self._break_even = break_even
        self._lock = threading.Lock()
        self._latest: deque[tuple[int, int]] = deque()  # lines, and how many of them were read again, of each call
        self._counts = [0, 0]  # the sums over `_latest`
        self._alone = False

    @property
    def effective(self) -> Effective:
        """What really runs: both engines under ``low`` and ``full``, and the share of late lines that both read."""
        low, full = self._low.effective, self._full.effective
        if self._alone:
            return full
        with self._lock:
            lines, again = self._counts
        return Effective(
            backend=low.backend if low.backend == full.backend else f"{low.backend}+{full.backend}",
            engine_version=low.engine_version,
            device=full.device,
            precision="+".join(dict.fromkeys((low.precision, full.precision))),
            threads=max(low.threads, full.threads),
            settings={
                "threshold": self._threshold,
                "break_even": self._break_even,
                "read_again": round(again / lines, 4) if lines else None,
                "low": dict(low.settings),
                "full": dict(full.settings),
            },
            notes=(*low.notes, *full.notes),
        )

    def read(  # noqa: D102 - the contract's
        self, lines: Sequence[LineImage], *, batch_size: int | None = None, return_word_box: bool = False
    ) -> list[TextLine]:
        if self._alone:
            return self._full.read(lines, batch_size=batch_size, return_word_box=return_word_box)
        read, margins = self._low.read_with_margins(lines, batch_size=batch_size, return_word_box=return_word_box)
        doubtful = [number for number, margin in enumerate(margins) if margin < self._threshold]
        if doubtful:
            again = [lines[number] for number in doubtful]
            texts = self._full.read(again, batch_size=batch_size, return_word_box=return_word_box)
            for number, text in zip(doubtful, texts, strict=True):
                read[number] = text
        self._watch(len(lines), len(doubtful))
        return read

    def engine_for(self, width: int) -> EngineReader:  # noqa: D102 - the contract's
        return (self._full if self._alone else self._low).engine_for(width)

    def close(self) -> None:  # noqa: D102 - the contract's
        try:
            self._low.close()
        finally:
            self._full.close()

    def _watch(self, lines: int, again: int) -> None:
        """Count; give the low precision up once it does not pay."""
        with self._lock:
            self._latest.append((lines, again))
            self._counts[0] += lines
            self._counts[1] += again
            while self._counts[0] - self._latest[0][0] >= WATCHED_LINES:
                gone = self._latest.popleft()
                self._counts[0] -= gone[0]
                self._counts[1] -= gone[1]
            enough = self._counts[0] >= WATCHED_LINES
            if self._alone or not enough or self._counts[1] <= self._break_even * self._counts[0]:
                return
            self._alone = True
        # Left open: other threads may be in it, and its memory is freed with the reader's.
        _log.warning(
            "verified %s: %d of the last %d lines were in doubt, and up to %.0f %% pay; %s reads alone from here on",
            self._low.effective.precision,
            self._counts[1],
            self._counts[0],
            100 * self._break_even,
            self._full.effective.precision,
        )
