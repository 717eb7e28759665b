"""Steps 2 to 6 of recognition on a device: widths, batches, tensors, emissions, texts, one batch after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from ocrhpi.edge.memory import return_freed_memory
from ocrhpi.edge.tensors import to_tensor
from ocrhpi.errors import BackendClosed, BundleError
from ocrhpi.recognition.batching import plan_batches, width_ladder
from ocrhpi.recognition.bidi import to_reading_order
from ocrhpi.recognition.ctc import CtcDecoder
from ocrhpi.recognition.geometry import line_geometry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.edge.config import BundleConfig
    from ocrhpi.edge.engine import EdgeEngine
    from ocrhpi.recognition.batching import PlannedBatch
    from ocrhpi.values import Emissions, LineGeometry, Pixels, TextLine

_MANY_COLUMNS = 1280


class Recognizer(Protocol):
    """Pixels -> texts."""

    @property
    def engine(self) -> str:
        """Name and version of the engine, with its threads."""

    def read(self, lines: Sequence[Pixels], batch_size: int) -> list[TextLine]:
        """Read lines; return their texts in the same order.

        Args:
            lines: Any number of lines.
            batch_size: Lines of base width that make one batch; of wider lines fewer share it.

        Raises:
            BackendError: The engine failed, or was let go of.
        """

    def close(self) -> None:
        """Let go of the engine. Closing twice is fine."""


class EdgeRecognizer:
    """A `Recognizer` with a small engine.

    Args:
        config: How lines are put into batches.
        labels: Text of every class.
        engine: Holds the graph.

    Raises:
        BundleError: The graph is not of the form that the configuration names.
    """

    def __init__(self, config: BundleConfig, labels: Sequence[str], engine: EdgeEngine) -> None:
        masked = engine.interface.masked
        if engine.interface.pixels or masked != (config.batching == "masked"):
            problem = f"batching {config.batching!r} needs another graph: this is masked={masked}, "
            raise BundleError(config.artifact, "inputs", f"{problem}pixels={engine.interface.pixels}")
        self._config = config
        self._decoder = CtcDecoder(labels)
        self._name = engine.name
        spec, masked = config.spec, config.batching == "masked"
        self._ladder = width_ladder(config.width_step, spec.base_width, spec.max_width) if masked else ()
        self._engine: EdgeEngine | None = engine

    @property
    def engine(self) -> str:  # noqa: D102 - the contract's
        engine = self._open_engine()
        return f"{engine.name} {engine.version}, {engine.threads} thread{'s' if engine.threads > 1 else ''}"

    def read(self, lines: Sequence[Pixels], batch_size: int) -> list[TextLine]:  # noqa: D102 - the contract's
        geometries = [line_geometry(line.shape[1], line.shape[0], self._config.spec) for line in lines]
        read: dict[int, TextLine] = {}
        plan = plan_batches(
            [geometry.padded_width for geometry in geometries],
            batch_size * self._config.spec.base_width,
            self._ladder,
            together=self._config.batching == "masked",
            rows=self._config.spec.rows,
        )
        for batch in plan:
            texts = self._decoder.decode(self._run(batch, lines, geometries))
            read.update(zip(batch.numbers, texts, strict=True))
        if any(batch.rows * batch.width > _MANY_COLUMNS for batch in plan):
            return_freed_memory()  # what such a batch needed, others do not
        in_order = [read[number] for number in range(len(lines))]
        return [to_reading_order(line) for line in in_order] if self._config.right_to_left else in_order

    def close(self) -> None:  # noqa: D102 - the contract's
        self._engine = None

    def _run(self, batch: PlannedBatch, lines: Sequence[Pixels], geometries: Sequence[LineGeometry]) -> Emissions:
        own = [geometries[number] for number in batch.numbers]
        shape = (batch.rows, batch.width)
        tensor = to_tensor([lines[number] for number in batch.numbers], own, shape, self._config.spec)
        widths = None
        if self._config.batching == "masked":
            widths = np.full(batch.rows, batch.width, np.int32)
            widths[: len(own)] = [geometry.padded_width for geometry in own]
        return self._open_engine().run(tensor, widths).first(len(own))

    def _open_engine(self) -> EdgeEngine:
        if self._engine is None:
            raise BackendClosed(self._name, "closed")
        return self._engine
