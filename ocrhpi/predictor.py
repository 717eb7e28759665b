"""Walk A: `Predictor` reads text lines with one model on one backend."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from ocrhpi.errors import OptionError
from ocrhpi.recognition.batching import PlannedBatch, plan_equal_widths, plan_near_widths
from ocrhpi.recognition.ctc import CtcDecoder
from ocrhpi.recognition.direction import to_reading_order
from ocrhpi.recognition.geometry import line_geometry, text_fraction
from ocrhpi.recognition.inputs import read_lines
from ocrhpi.recognition.tensors import to_tensor
from ocrhpi.results import SaveNames, TextRecResult
from ocrhpi.values import LineImage, UnreadableLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from types import TracebackType

    from typing_extensions import Self

    from ocrhpi.backends.base import Backend
    from ocrhpi.model import Model
    from ocrhpi.recognition.inputs import Input
    from ocrhpi.values import Emissions, LineGeometry, Tensor, TextLine, Widths

__all__ = ["OnError", "Predictor"]

OnError = Literal["raise", "skip"]

# Lines read ahead, in batches: enough for lines of like width to meet, few enough to keep memory small.
_WINDOW_BATCHES = 8

DEFAULT_WIDTH_STEP = 64


class Predictor:
    """Reads text lines; the text of a line depends on that line alone, not on its batch.

    May be called from many threads. A context manager: leaving closes the backend.

    Args:
        model: The model.
        backend: An open backend that holds this model; the predictor closes it.
        width_step: With a width-masked graph, widths are rounded up to a multiple of this many pixels.
    """

    def __init__(self, model: Model, backend: Backend, *, width_step: int = DEFAULT_WIDTH_STEP) -> None:
        self.model = model
        self.backend = backend
        self._width_step = width_step
        # While the engine works on its requests, the calling thread prepares the next batch and decodes the last.
        self._closed = False
        self._engine = ThreadPoolExecutor(backend.parallel_requests, thread_name_prefix="ocrhpi")
        self._decoder = CtcDecoder(model.labels)
        self._save_names = SaveNames()

    def predict_iter(
        self,
        source: Input,
        *,
        batch_size: int = 1,
        on_error: OnError = "raise",
        return_word_box: bool = False,
    ) -> Iterator[TextRecResult]:
        """Read everything in ``source``, lazily, in input order; holds no more than a few batches.

        Args:
            source: Path, URL, directory, PDF, image bytes, array (BGR), PIL image, or a list, tuple or iterator.
            batch_size: Most lines in one call of the engine; of wide lines, as many as make the same work. With 1
                every result comes as soon as it is read.
            on_error: ``raise`` stops at an unreadable input, after the results before it;
                ``skip`` yields a result whose ``error`` is set and goes on.
            return_word_box: Also return words and their columns, see `TextRecResult`.

        Raises:
            OptionError: ``batch_size`` or ``on_error`` does not fit.
            InputError: An input cannot be read and ``on_error`` is ``raise``.
            BackendError: The engine failed.
        """
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise OptionError("batch_size", f"received {batch_size!r}; expected a whole number, at least 1")
        if on_error not in {"raise", "skip"}:
            raise OptionError("on_error", f"received {on_error!r}; expected 'raise' or 'skip'")
        window_size = 1 if batch_size == 1 else _WINDOW_BATCHES * batch_size
        return self._results(_windows(read_lines(source), window_size), batch_size, on_error, return_word_box)

    def read(self, lines: Sequence[LineImage], *, batch_size: int = 1, return_word_box: bool = False) -> list[TextLine]:
        """Read lines that are already in memory; returns their texts in the same order."""
        geometries = self._geometries(lines)
        read: dict[int, TextLine] = {}
        for batch, emissions in self._run(lines, geometries, batch_size):
            if return_word_box:
                images = [lines[number].pixels for number in batch.numbers]
                fractions = [text_fraction(image.shape[1], image.shape[0], self.model.spec) for image in images]
                texts = self._decoder.decode_words(emissions, fractions)
            else:
                texts = self._decoder.decode(emissions)
            read.update(zip(batch.numbers, texts, strict=True))
        in_order = [read[number] for number in range(len(lines))]
        return [to_reading_order(line) for line in in_order] if self.model.right_to_left else in_order

    def prepare(self, lines: Sequence[LineImage], *, batch_size: int = 1) -> list[tuple[Tensor, Widths | None]]:
        """Return the batches that `read` would run, to measure the engine alone: arguments of ``backend.run``."""
        geometries = self._geometries(lines)
        return [self._prepare(lines, geometries, batch) for batch in self._plan(geometries, batch_size)]

    def _geometries(self, lines: Sequence[LineImage]) -> list[LineGeometry]:
        return [line_geometry(line.pixels.shape[1], line.pixels.shape[0], self.model.spec) for line in lines]

    def _plan(self, geometries: Sequence[LineGeometry], batch_size: int) -> list[PlannedBatch]:
        columns = batch_size * (self.model.spec.stretch_width or self.model.spec.base_width)
        if self.backend.masked:
            return plan_near_widths(geometries, columns, self._width_step)
        return plan_equal_widths(geometries, columns)

    def _prepare(
        self, lines: Sequence[LineImage], geometries: Sequence[LineGeometry], batch: PlannedBatch
    ) -> tuple[Tensor, Widths | None]:
        padded = [replace(geometries[number], padded_width=batch.width) for number in batch.numbers]
        tensor = to_tensor([lines[number].pixels for number in batch.numbers], padded, self.model.spec)
        if not self.backend.masked:
            return tensor, None
        return tensor, np.array([geometries[number].padded_width for number in batch.numbers], np.int32)

    def _run(
        self, lines: Sequence[LineImage], geometries: Sequence[LineGeometry], batch_size: int
    ) -> Iterator[tuple[PlannedBatch, Emissions]]:
        """Run all lines in batches; while the engine works, the next batch is prepared and the last one decoded."""
        backend = self.backend
        plan = self._plan(geometries, batch_size)
        running: deque[tuple[PlannedBatch, Future[Emissions]]] = deque()
        for batch in plan:
            tensor, widths = self._prepare(lines, geometries, batch)
            if len(plan) == 1 or self._closed:  # nothing to overlap with
                yield batch, backend.run(tensor, widths)
                continue
            running.append((batch, self._engine.submit(backend.run, tensor, widths)))
            if len(running) > backend.parallel_requests:
                first, emissions = running.popleft()
                yield first, emissions.result()
        for batch, emissions in running:
            yield batch, emissions.result()

    def close(self) -> None:
        """Release the engine. Closing twice is fine."""
        self._closed = True
        self._engine.shutdown()
        self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _results(
        self,
        windows: Iterable[list[LineImage | UnreadableLine]],
        batch_size: int,
        on_error: OnError,
        return_word_box: bool,  # noqa: FBT001 - private; the public method takes it by keyword
    ) -> Iterator[TextRecResult]:
        for window in windows:
            readable = [line for line in window if isinstance(line, LineImage)]
            texts = iter(self.read(readable, batch_size=batch_size, return_word_box=return_word_box))
            for line in window:
                if isinstance(line, LineImage):
                    yield TextRecResult.of_line(line, next(texts), self._save_names)
                elif on_error == "skip":
                    yield TextRecResult.of_error(line, self._save_names)
                else:
                    raise line.error


def _windows(lines: Iterable[LineImage | UnreadableLine], size: int) -> Iterator[list[LineImage | UnreadableLine]]:
    """Cut the stream into windows; an unreadable line ends its window, so that ``raise`` reads nothing in vain."""
    window: list[LineImage | UnreadableLine] = []
    for line in lines:
        window.append(line)
        if len(window) == size or isinstance(line, UnreadableLine):
            yield window
            window = []
    if window:
        yield window
