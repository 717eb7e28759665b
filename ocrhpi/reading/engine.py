"""Steps 2 to 6 of recognition on one engine: widths, batches, tensors, emissions, texts."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ocrhpi.errors import BackendClosed, BackendError
from ocrhpi.forks import RenewedThreads, renew_in_children
from ocrhpi.reading.base import Met, Shapes, SingleEngineReader
from ocrhpi.recognition.batching import CALL_COST, DEVICE_CALL_COST, PlannedBatch, plan_batches, shapes_of
from ocrhpi.recognition.ctc import CtcDecoder, to_reading_order
from ocrhpi.recognition.geometry import geometry_of, text_fraction, unpadded_geometry
from ocrhpi.recognition.near_ties import text_margins
from ocrhpi.recognition.tensors import to_pixels, to_tensor
from ocrhpi.values import LineGeometry, LineImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from ocrhpi.backends.base import Backend, Effective
    from ocrhpi.model import Model
    from ocrhpi.reading.base import Request
    from ocrhpi.values import (
        Batching,
        Emissions,
        TextLine,
    )


class EngineReader(SingleEngineReader):
    """Reads with one engine.

    Args:
        model: The model.
        backend: An open backend that holds this model; the reader closes it.
        batching: Which widths lines get; ``masked`` needs a graph that is, which takes exact widths, too.
        batch_size: Of calls that do not say.
        ladder: Widths in pixels, ascending, that lines are padded up to; the last holds the widest line. Empty: each
            keeps its own.
    """

    def __init__(
        self,
        model: Model,
        backend: Backend,
        *,
        batching: Batching = "exact",
        batch_size: int = 1,
        ladder: Sequence[int] = (),
    ) -> None:
        self.model = model
        self.backend = backend
        self.batch_size = batch_size
        self._batching: Batching = batching
        self._ladder = ladder
        self._call_cost = CALL_COST if backend.effective.device == "cpu" else DEVICE_CALL_COST
        self._shapes: set[tuple[int, int]] = set()
        self._met: set[tuple[int, int]] = set()  # those of them that all requests have run
        self._decoder = CtcDecoder(model.labels)
        self._closed = False
        # While the engine works on its requests, the calling thread prepares the next batch and decodes the last.
        self._engine = RenewedThreads(backend.parallel_requests, "ocrhpi")
        renew_in_children(self)

    @property
    def effective(self) -> Effective:
        """What really runs."""
        return self.backend.effective

    @property
    def shapes(self) -> Shapes:
        """How many shapes the engine has met, and may meet."""
        spec = self.model.spec
        columns = self.batch_size * (spec.stretch_width or spec.base_width)
        return Shapes(len(self._shapes), len(shapes_of(self._ladder, columns, spec.rows)) if self._ladder else None)

    def read(  # noqa: D102 - the contract's
        self,
        lines: Sequence[LineImage],
        *,
        batch_size: int | None = None,
        return_word_box: bool = False,
        margin: float = 0.0,
    ) -> list[TextLine]:
        geometries = self._geometries(lines)
        read: dict[int, TextLine] = {}
        for batch, emissions in self._run(lines, geometries, self._plan(geometries, batch_size), margin):
            with self._naming(lines, batch):
                if return_word_box:
                    fractions = [self._text_fraction(lines[number], batch) for number in batch.numbers]
                    texts = self._decoder.decode_words(emissions, fractions)
                else:
                    texts = self._decoder.decode(emissions)
                if margin:
                    margins = text_margins(emissions)
                    texts = [replace(text, margin=found) for text, found in zip(texts, margins, strict=True)]
            read.update(zip(batch.numbers, texts, strict=True))
        in_order = [read[number] for number in range(len(lines))]
        return [to_reading_order(line) for line in in_order] if self.model.right_to_left else in_order

    def meet(self, lines: Sequence[LineImage]) -> Met:  # noqa: D102 - the contract's
        plan = self._plan(self._geometries(lines), None)
        wanted = {(batch.rows, batch.width) for batch in plan}
        new = wanted - self._shapes
        seconds = sum(max(0.0, self._time_blank(*shape) - self._time_blank(*shape)) for shape in new)
        if self.backend.parallel_requests > 1:
            for shape in wanted & self._shapes - self._met:
                self._time_blank(*shape)
        self._met |= wanted
        self._shapes |= wanted
        return Met(len(new), seconds)

    def engine_for(self, width: int) -> EngineReader:  # noqa: ARG002, D102 - the contract's
        return self

    def prepare(self, lines: Sequence[LineImage], *, batch_size: int | None = None) -> list[Request]:  # noqa: D102 - the contract's
        geometries = self._geometries(lines)
        return [self._prepare(lines, geometries, batch) for batch in self._plan(geometries, batch_size)]

    def renew_after_fork(self) -> None:
        """Take notice, in a forked child, that the engine which will be opened there has met no shapes."""
        self._shapes, self._met = set(), set()

    def close(self) -> None:  # noqa: D102 - the contract's
        self._closed = True
        self._engine.shutdown()
        self.backend.close()

    def _time_blank(self, rows: int, width: int) -> float:
        """Run a shape once in each of the requests at the same time; return the seconds."""
        spec = self.model.spec
        lines = [LineImage(np.zeros((spec.height, width, 3), np.uint8))] * rows
        batch = PlannedBatch(list(range(rows)), width, rows)
        request = self._prepare(lines, [LineGeometry(width, width)] * rows, batch)
        start = time.perf_counter()
        running = [self._engine.submit(self.backend.run, *request) for _ in range(self.backend.parallel_requests)]
        for one in running:
            one.result()
        return time.perf_counter() - start

    def _geometries(self, lines: Sequence[LineImage]) -> list[LineGeometry]:
        exact = (geometry_of(line, self.model.spec) for line in lines)
        return [unpadded_geometry(one) for one in exact] if self._batching == "natural" else list(exact)

    def _plan(self, geometries: Sequence[LineGeometry], batch_size: int | None) -> list[PlannedBatch]:
        spec = self.model.spec
        columns = (batch_size or self.batch_size) * (spec.stretch_width or spec.base_width)
        return plan_batches(
            [geometry.padded_width for geometry in geometries],
            columns,
            self._ladder,
            together=self._batching == "masked",
            call_cost=self._call_cost,
            rows=spec.rows,
        )

    def _prepare(self, lines: Sequence[LineImage], geometries: Sequence[LineGeometry], batch: PlannedBatch) -> Request:
        pixels = [lines[number].pixels for number in batch.numbers]
        padded = [replace(geometries[number], padded_width=batch.width) for number in batch.numbers]
        make = to_pixels if self.backend.takes_pixels else to_tensor
        tensor = make(pixels, padded, self.model.spec, rows=batch.rows)
        filler = [batch.width] * (batch.rows - len(batch.numbers))
        widths = contents = None
        if self.backend.masked:
            widths = np.array([*(geometries[number].padded_width for number in batch.numbers), *filler], np.int32)
        if self.backend.takes_pixels:
            contents = np.array([*(geometry.resized_width for geometry in padded), *filler], np.int32)
        return tensor, widths, contents

    def _run(
        self,
        lines: Sequence[LineImage],
        geometries: Sequence[LineGeometry],
        plan: Sequence[PlannedBatch],
        margin: float,
    ) -> Iterator[tuple[PlannedBatch, Emissions]]:
        """Run all batches; while the engine works, the next one is prepared and the last one decoded."""
        backend = self.backend
        self._shapes.update((batch.rows, batch.width) for batch in plan)
        running: deque[tuple[PlannedBatch, Future[Emissions]]] = deque()
        try:
            for batch in plan:
                with self._naming(lines, batch):
                    request = self._prepare(lines, geometries, batch)
                if len(plan) == 1 or self._closed:  # nothing to overlap with
                    yield batch, self._emissions(lines, batch, partial(backend.run, *request, margin=margin))
                    continue
                running.append((batch, self._engine.submit(backend.run, *request, margin=margin)))
                if len(running) > backend.parallel_requests:
                    first, future = running.popleft()
                    yield first, self._emissions(lines, first, future.result)
            while running:
                batch, future = running.popleft()
                yield batch, self._emissions(lines, batch, future.result)
        finally:  # where one failed, the others give their memory back before anything is tried again
            for _, future in running:
                future.cancel()
            wait([future for _, future in running])

    def _emissions(self, lines: Sequence[LineImage], batch: PlannedBatch, result: Callable[[], Emissions]) -> Emissions:
        with self._naming(lines, batch):
            return result().first(len(batch.numbers))

    @contextmanager
    def _naming(self, lines: Sequence[LineImage], batch: PlannedBatch) -> Iterator[None]:
        """Name the lines of the batch in an error; where memory for them is lacking, the engine failed, too."""
        try:
            yield
        except BackendClosed:
            raise
        except (MemoryError, cv2.error) as error:
            size = f"{batch.rows} x {self.model.spec.height} x {batch.width} pixels"
            problem = f"no memory for a batch of {size} ({' '.join(str(error).split())})"
            failure = BackendError(self.backend.name, problem)
            failure.tell_inputs(lines[number].where for number in batch.numbers)
            raise failure from error
        except BackendError as error:
            error.tell_inputs(lines[number].where for number in batch.numbers)
            raise

    def _text_fraction(self, line: LineImage, batch: PlannedBatch) -> float:
        """Share of the line's time steps that cover its text; in a masked graph they are those of its exact width."""
        height, width = line.pixels.shape[:2]
        spec = self.model.spec
        fraction = text_fraction(width, height, spec, line.batch_ratio)
        if self._batching == "masked":
            return fraction
        return min(1.0, fraction * geometry_of(line, spec).padded_width / batch.width)
