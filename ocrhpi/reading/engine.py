"""Steps 2 to 6 of walk A on one engine: widths, batches, tensors, emissions, texts."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ocrhpi.reading.base import LineReader
from ocrhpi.recognition.batching import plan_buckets, plan_equal_widths, plan_near_widths
from ocrhpi.recognition.ctc import CtcDecoder
from ocrhpi.recognition.direction import to_reading_order
from ocrhpi.recognition.doubt import text_margins
from ocrhpi.recognition.geometry import geometry_of, looser_geometry, text_fraction
from ocrhpi.recognition.tensors import to_pixels, to_tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from ocrhpi.backends.base import Backend, Effective
    from ocrhpi.model import Model
    from ocrhpi.recognition.batching import PlannedBatch
    from ocrhpi.values import (
        Batching,
        Contents,
        Emissions,
        LineGeometry,
        LineImage,
        NetworkInput,
        TextLine,
        Widths,
    )

    Request: TypeAlias = tuple[NetworkInput, Widths | None, Contents | None]
    """Arguments of ``backend.run``."""

__all__ = ["DEFAULT_WIDTH_STEP", "EngineReader"]

DEFAULT_WIDTH_STEP = 64


class EngineReader(LineReader):
    """Reads with one engine.

    Args:
        model: The model.
        backend: An open backend that holds this model; the reader closes it.
        batching: Which widths lines get; ``masked`` if, and only if, the backend's graph is.
        width_step: Widths are rounded up to a multiple of this many pixels, except in ``exact``.
        batch_size: Of calls that do not say.
        buckets: Widths in pixels that lines are padded up to, in place of the step; the last holds the widest line.
    """

    def __init__(
        self,
        model: Model,
        backend: Backend,
        *,
        batching: Batching = "exact",
        width_step: int = DEFAULT_WIDTH_STEP,
        batch_size: int = 1,
        buckets: Sequence[int] = (),
    ) -> None:
        self.model = model
        self.backend = backend
        self.batch_size = batch_size
        self._batching: Batching = batching
        self._width_step = width_step
        self._buckets = buckets
        self._decoder = CtcDecoder(model.labels)
        self._closed = False
        # While the engine works on its requests, the calling thread prepares the next batch and decodes the last.
        self._engine = ThreadPoolExecutor(backend.parallel_requests, thread_name_prefix="ocrhpi")

    @property
    def effective(self) -> Effective:
        """What really runs."""
        return self.backend.effective

    def read(  # noqa: D102 - the contract's
        self, lines: Sequence[LineImage], *, batch_size: int | None = None, return_word_box: bool = False
    ) -> list[TextLine]:
        return self._read(lines, batch_size, return_word_box)[0]

    def read_with_margins(
        self, lines: Sequence[LineImage], *, batch_size: int | None = None, return_word_box: bool = False
    ) -> tuple[list[TextLine], list[float]]:
        """Read lines; also return of each by which margin of probability it would have read as another text.

        Arguments and errors are those of `read`. What the margins tell is said by `ocrhpi.recognition.doubt`.
        """
        return self._read(lines, batch_size, return_word_box, with_margins=True)

    def _read(
        self,
        lines: Sequence[LineImage],
        batch_size: int | None,
        return_word_box: bool,  # noqa: FBT001 - private; the public methods take it by keyword
        *,
        with_margins: bool = False,
    ) -> tuple[list[TextLine], list[float]]:
        geometries = self._geometries(lines)
        read: dict[int, TextLine] = {}
        margins: dict[int, float] = {}
        for batch, emissions in self._run(lines, geometries, self._plan(geometries, batch_size)):
            if return_word_box:
                fractions = [self._text_fraction(lines[number], batch) for number in batch.numbers]
                texts = self._decoder.decode_words(emissions, fractions)
            else:
                texts = self._decoder.decode(emissions)
            read.update(zip(batch.numbers, texts, strict=True))
            if with_margins:
                margins.update(zip(batch.numbers, text_margins(emissions), strict=True))
        in_order = [read[number] for number in range(len(lines))]
        if self.model.right_to_left:
            in_order = [to_reading_order(line) for line in in_order]
        return in_order, [margins[number] for number in range(len(margins))]

    def engine_for(self, width: int) -> EngineReader:  # noqa: ARG002, D102 - the contract's
        return self

    def prepare(self, lines: Sequence[LineImage], *, batch_size: int | None = None) -> list[Request]:
        """Return the batches that `read` would run, to measure the engine alone: arguments of ``backend.run``."""
        geometries = self._geometries(lines)
        return [self._prepare(lines, geometries, batch) for batch in self._plan(geometries, batch_size)]

    def close(self) -> None:  # noqa: D102 - the contract's
        self._closed = True
        self._engine.shutdown()
        self.backend.close()

    def _geometries(self, lines: Sequence[LineImage]) -> list[LineGeometry]:
        exact = (geometry_of(line, self.model.spec) for line in lines)
        # A bucket takes the place of the step.
        return [
            looser_geometry(geometry, self._batching, 1 if self._buckets else self._width_step) for geometry in exact
        ]

    def _plan(self, geometries: Sequence[LineGeometry], batch_size: int | None) -> list[PlannedBatch]:
        spec = self.model.spec
        columns = (batch_size or self.batch_size) * (spec.stretch_width or spec.base_width)
        if self._buckets:
            return plan_buckets(geometries, columns, self._buckets)
        if self._batching == "masked":
            return plan_near_widths(geometries, columns, self._width_step)
        return plan_equal_widths(geometries, columns)

    def _prepare(self, lines: Sequence[LineImage], geometries: Sequence[LineGeometry], batch: PlannedBatch) -> Request:
        pixels = [lines[number].pixels for number in batch.numbers]
        padded = [replace(geometries[number], padded_width=batch.width) for number in batch.numbers]
        empty = max(0, batch.rows - len(batch.numbers))
        make = to_pixels if self.backend.takes_pixels else to_tensor
        tensor = _with_rows(make(pixels, padded, self.model.spec), empty)
        filler = [batch.width] * empty
        widths = contents = None
        if self._batching == "masked":
            widths = np.array([*(geometries[number].padded_width for number in batch.numbers), *filler], np.int32)
        if self.backend.takes_pixels:
            contents = np.array([*(geometry.resized_width for geometry in padded), *filler], np.int32)
        return tensor, widths, contents

    def _run(
        self, lines: Sequence[LineImage], geometries: Sequence[LineGeometry], plan: Sequence[PlannedBatch]
    ) -> Iterator[tuple[PlannedBatch, Emissions]]:
        """Run all batches; while the engine works, the next one is prepared and the last one decoded."""
        backend = self.backend
        running: deque[tuple[PlannedBatch, Future[Emissions]]] = deque()
        for batch in plan:
            request = self._prepare(lines, geometries, batch)
            if len(plan) == 1 or self._closed:  # nothing to overlap with
                yield batch, _of_lines(backend.run(*request), batch)
                continue
            running.append((batch, self._engine.submit(backend.run, *request)))
            if len(running) > backend.parallel_requests:
                first, emissions = running.popleft()
                yield first, _of_lines(emissions.result(), first)
        for batch, emissions in running:
            yield batch, _of_lines(emissions.result(), batch)

    def _text_fraction(self, line: LineImage, batch: PlannedBatch) -> float:
        """Share of the line's time steps that cover its text; in a masked graph they are those of its exact width."""
        height, width = line.pixels.shape[:2]
        spec = self.model.spec
        fraction = text_fraction(width, height, spec, line.batch_ratio)
        if self._batching == "masked":
            return fraction
        return min(1.0, fraction * geometry_of(line, spec).padded_width / batch.width)


def _with_rows(batch: NetworkInput, count: int) -> NetworkInput:
    """Return the batch with ``count`` empty rows after its lines."""
    return np.concatenate([batch, np.zeros((count, *batch.shape[1:]), batch.dtype)]) if count else batch


def _of_lines(emissions: Emissions, batch: PlannedBatch) -> Emissions:
    """Drop the emissions of the empty rows."""
    count = len(batch.numbers)
    if len(emissions.indices) == count:
        return emissions
    steps = None if emissions.steps is None else emissions.steps[:count]
    return replace(emissions, indices=emissions.indices[:count], probs=emissions.probs[:count], steps=steps)
