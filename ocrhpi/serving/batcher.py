"""The queue of a server: lines of many requests wait here and are read together, those of like width first.

All of it runs in one event loop, so nothing is locked; only the reader works in threads.
"""

from __future__ import annotations

import asyncio
import math
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import TYPE_CHECKING

from ocrhpi.errors import RequestRefused
from ocrhpi.recognition.geometry import geometry_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ocrhpi.reading.base import LineReader
    from ocrhpi.serving.metrics import Metrics
    from ocrhpi.serving.options import ServingOptions
    from ocrhpi.values import LineImage, TextLine

_WEIGHT = 0.1  # of the last batch: the memory is about ten batches
_LONGEST_S = 600


class LineRate:
    """A moving average of the time that a line takes, over the batches that were read."""

    def __init__(self) -> None:
        self._line_s: float | None = None
        self._last_end = -math.inf

    def read(self, lines: int, began: float, ended: float) -> None:
        """Take note of a batch; times are those of one clock, in seconds.

        Batches may overlap: what a batch took counts from the end of the one before it.
        """
        line_s = (ended - max(began, self._last_end)) / lines
        self._last_end = ended
        self._line_s = line_s if self._line_s is None else self._line_s + _WEIGHT * (line_s - self._line_s)

    def wait_s(self, lines: int) -> int:
        """Estimate how long so many lines take, in whole seconds, at least 1."""
        return min(_LONGEST_S, max(1, math.ceil(lines * (self._line_s or 0.0))))


# One batch is in the engine; a second one, if it is full, is prepared and decoded beside it.
_BATCHES_AT_ONCE = 2
_MIN_BATCH_LINES = 16


@dataclass(eq=False)
class Places:
    """Room in the queue for lines of one request that are still being decoded."""

    lines: int


@dataclass(eq=False)
class _Answer:
    """What one request waits for."""

    texts: list[TextLine | None]
    done: asyncio.Future[None]
    left: int


@dataclass(eq=False)
class _Waiting:
    """One line in the queue."""

    line: LineImage
    width: int
    word_boxes: bool
    answer: _Answer
    number: int
    since: float = field(default_factory=time.monotonic)

    @property
    def pixels(self) -> int:
        return _pixels(self.line)


class Batcher:
    """Reads lines of concurrent requests in common batches.

    A batch is what waits, up to ``max_batch_lines``; if more does, it is the line that waits longest and those nearest
    to it in width. An idle engine starts at once, or after ``max_wait_ms`` if further lines are on their way.

    Args:
        reader: What reads; it stays open when the batcher is closed.
        options: Limits of the queue and of batches.
        metrics: Is told of batches.
    """

    def __init__(self, reader: LineReader, options: ServingOptions, metrics: Metrics) -> None:
        self._reader = reader
        self._options = options
        self._metrics = metrics
        self._most = options.max_batch_lines or max(_MIN_BATCH_LINES, 2 * reader.batch_size)
        self._waiting: dict[_Waiting, None] = {}  # in order of arrival
        self._pixels = 0  # of the lines that wait
        self._coming = 0  # lines that have a place and are not in the queue yet
        self._reading = 0  # lines in batches that run
        self._batches: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._pace = LineRate()
        self._threads = ThreadPoolExecutor(_BATCHES_AT_ONCE, thread_name_prefix="ocrhpi-reader")

    @contextmanager
    def hold(self, lines: int) -> Iterator[Places]:
        """Hold places for lines that are being decoded, until they are read or the context is left.

        Raises:
            RequestRefused: The queue is full, or the batcher is closed.
        """
        self._admit(lines, 0)
        places = Places(lines)
        self._coming += lines
        try:
            yield places
        finally:
            self._give_up(places)

    async def read(self, lines: Sequence[LineImage], places: Places, *, word_boxes: bool = False) -> list[TextLine]:
        """Read the lines in the places held for them; those of documents may be more, if the queue has room.

        Cancelling it takes those lines out of the queue that are not being read.

        Returns:
            The texts, in the order of the lines.

        Raises:
            RequestRefused: The queue is full, or the batcher is closed.
            OcrhpiError: The engine failed at one of the lines.
        """
        self._coming -= places.lines
        places.lines = 0
        self._admit(len(lines), sum(map(_pixels, lines)))
        if not lines:
            return []
        answer = _Answer([None] * len(lines), asyncio.get_running_loop().create_future(), len(lines))
        spec = self._reader.model.spec
        for number, line in enumerate(lines):
            width = geometry_of(line, spec).padded_width
            self._put(_Waiting(line, width, word_boxes, answer, number))
        self._start()
        try:
            await answer.done
        finally:
            self._drop(answer)
        return [text for text in answer.texts if text is not None]

    async def close(self) -> None:
        """Take nothing more, and return when all that waits was read. Closing twice is fine."""
        self._closed = True
        self._start()
        while self._batches:
            await asyncio.wait(self._batches)
        self._threads.shutdown()

    def _admit(self, lines: int, pixels: int) -> None:
        if self._closed:
            raise RequestRefused(503, "the server is shutting down; ask another one", 1)
        held = len(self._waiting) + self._coming
        # An empty queue takes any request: its own limits are those of the request.
        full = held and held + lines > self._options.max_queued_lines
        if full or (self._pixels and self._pixels + pixels > self._options.max_queued_pixels):
            raise RequestRefused(429, f"the queue is full: {held} lines wait; try again later", self._wait_s())

    def _wait_s(self) -> int:
        return self._pace.wait_s(len(self._waiting) + self._coming + self._reading)

    def _give_up(self, places: Places) -> None:
        self._coming -= places.lines
        places.lines = 0
        self._start()

    def _put(self, waiting: _Waiting) -> None:
        self._waiting[waiting] = None
        self._pixels += waiting.pixels

    def _take(self, waiting: _Waiting) -> None:
        del self._waiting[waiting]
        self._pixels -= waiting.pixels

    def _drop(self, answer: _Answer) -> None:
        """Take the lines of a request that no longer waits out of the queue."""
        if answer.left:
            for waiting in [waiting for waiting in self._waiting if waiting.answer is answer]:
                self._take(waiting)
            self._start()

    def _start(self) -> None:
        """Start what can be started; called after every change."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while (delay := self._delay()) == 0:
            batch = self._next_batch()
            self._reading += len(batch)
            task = asyncio.create_task(self._read(batch))
            self._batches.add(task)
        if delay is not None:
            self._timer = asyncio.get_running_loop().call_later(delay, self._start)
        self._metrics.queued(len(self._waiting))

    def _delay(self) -> float | None:
        """Return in how many seconds the next batch starts; None: not before something else happens."""
        if not self._waiting or len(self._batches) >= _BATCHES_AT_ONCE:
            return None
        if len(self._waiting) >= self._most:
            return 0
        if self._batches:  # what comes until the engine is free shares its next batch
            return None
        if not self._coming or self._closed:
            return 0
        oldest = next(iter(self._waiting))
        return max(0, oldest.since + self._options.max_wait_ms / 1000 - time.monotonic())

    def _next_batch(self) -> list[_Waiting]:
        """Take the line that waits longest, and those nearest to it in width, out of the queue."""
        oldest = next(iter(self._waiting))
        alike = [waiting for waiting in self._waiting if waiting.word_boxes == oldest.word_boxes]
        batch = nsmallest(self._most, alike, key=lambda waiting: abs(waiting.width - oldest.width))
        for waiting in batch:
            self._take(waiting)
        now = time.monotonic()
        self._metrics.batched([now - waiting.since for waiting in batch], self._most)
        return batch

    async def _read(self, batch: list[_Waiting]) -> None:
        began = time.monotonic()
        lines = [waiting.line for waiting in batch]
        try:
            texts = await asyncio.get_running_loop().run_in_executor(
                self._threads, self._texts, lines, batch[0].word_boxes
            )
        finally:
            ended = time.monotonic()
            self._reading -= len(batch)
            self._batches.discard(asyncio.current_task())
            self._start()
        self._pace.read(len(batch), began, ended)
        self._metrics.read(sum(not isinstance(text, Exception) for text in texts), ended - began)
        for waiting, text in zip(batch, texts, strict=True):
            _settle(waiting, text)

    def _texts(self, lines: list[LineImage], word_boxes: bool) -> list[TextLine | Exception]:  # noqa: FBT001 - private
        """Read in a thread; a line does not fail with its neighbours, unless the engine does."""
        size = self._options.batch_size
        try:
            return list(self._reader.read_each(lines, batch_size=size, return_word_box=word_boxes))
        except Exception as error:  # noqa: BLE001 - goes to the requests that wait for it
            return [error] * len(lines)


def _pixels(line: LineImage) -> int:
    height, width = line.pixels.shape[:2]
    return int(height * width)


def _settle(waiting: _Waiting, text: TextLine | Exception) -> None:
    answer = waiting.answer
    if answer.done.done():  # the client is gone, or another line failed
        return
    if isinstance(text, Exception):
        answer.done.set_exception(text)
        return
    answer.texts[waiting.number] = text
    answer.left -= 1
    if not answer.left:
        answer.done.set_result(None)
