"""Steps 2 to 6 of walk A on one engine: widths, batches, tensors, emissions, texts."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ocrhpi.reading.base import LineReader
from ocrhpi.recognition.batching import plan_equal_widths, plan_near_widths
from ocrhpi.recognition.ctc import CtcDecoder
from ocrhpi.recognition.direction import to_reading_order
from ocrhpi.recognition.geometry import line_geometry, looser_geometry, text_fraction
from ocrhpi.recognition.tensors import to_tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from ocrhpi.backends.base import Backend, Effective
    from ocrhpi.model import Model
    from ocrhpi.recognition.batching import PlannedBatch
    from ocrhpi.values import Batching, Emissions, LineGeometry, LineImage, Tensor, TextLine, Widths

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
    """

    def __init__(
        self,
        model: Model,
        backend: Backend,
        *,
        batching: Batching = "exact",
        width_step: int = DEFAULT_WIDTH_STEP,
        batch_size: int = 1,
    ) -> None:
        self.model = model
        self.backend = backend
        self.batch_size = batch_size
        self._batching: Batching = batching
        self._width_step = width_step
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
        geometries = self._geometries(lines)
        read: dict[int, TextLine] = {}
        for batch, emissions in self._run(lines, geometries, self._plan(geometries, batch_size)):
            if return_word_box:
                fractions = [self._text_fraction(lines[number], batch) for number in batch.numbers]
                texts = self._decoder.decode_words(emissions, fractions)
            else:
                texts = self._decoder.decode(emissions)
            read.update(zip(batch.numbers, texts, strict=True))
        in_order = [read[number] for number in range(len(lines))]
        return [to_reading_order(line) for line in in_order] if self.model.right_to_left else in_order

    def engine_for(self, width: int) -> EngineReader:  # noqa: ARG002, D102 - the contract's
        return self

    def prepare(
        self, lines: Sequence[LineImage], *, batch_size: int | None = None
    ) -> list[tuple[Tensor, Widths | None]]:
        """Return the batches that `read` would run, to measure the engine alone: arguments of ``backend.run``."""
        geometries = self._geometries(lines)
        return [self._prepare(lines, geometries, batch) for batch in self._plan(geometries, batch_size)]

    def close(self) -> None:  # noqa: D102 - the contract's
        self._closed = True
        self._engine.shutdown()
        self.backend.close()

    def _geometries(self, lines: Sequence[LineImage]) -> list[LineGeometry]:
        exact = (line_geometry(line.pixels.shape[1], line.pixels.shape[0], self.model.spec) for line in lines)
        return [looser_geometry(geometry, self._batching, self._width_step) for geometry in exact]

    def _plan(self, geometries: Sequence[LineGeometry], batch_size: int | None) -> list[PlannedBatch]:
        spec = self.model.spec
        columns = (batch_size or self.batch_size) * (spec.stretch_width or spec.base_width)
        if self._batching == "masked":
            return plan_near_widths(geometries, columns, self._width_step)
        return plan_equal_widths(geometries, columns)

    def _prepare(
        self, lines: Sequence[LineImage], geometries: Sequence[LineGeometry], batch: PlannedBatch
    ) -> tuple[Tensor, Widths | None]:
        padded = [replace(geometries[number], padded_width=batch.width) for number in batch.numbers]
        tensor = to_tensor([lines[number].pixels for number in batch.numbers], padded, self.model.spec)
        if self._batching != "masked":
            return tensor, None
        return tensor, np.array([geometries[number].padded_width for number in batch.numbers], np.int32)

    def _run(
        self, lines: Sequence[LineImage], geometries: Sequence[LineGeometry], plan: Sequence[PlannedBatch]
    ) -> Iterator[tuple[PlannedBatch, Emissions]]:
        """Run all batches; while the engine works, the next one is prepared and the last one decoded."""
        backend = self.backend
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

    def _text_fraction(self, line: LineImage, batch: PlannedBatch) -> float:
        """Share of the line's time steps that cover its text; in a masked graph they are those of its exact width."""
        height, width = line.pixels.shape[:2]
        spec = self.model.spec
        fraction = text_fraction(width, height, spec)
        if self._batching == "masked":
            return fraction
        return min(1.0, fraction * line_geometry(width, height, spec).padded_width / batch.width)
