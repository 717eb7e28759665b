"""`open_bundle`, the way in on a device, and what reads there."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ocrhpi.closing import Closing
from ocrhpi.edge.bundle import Bundle
from ocrhpi.edge.engine import open_engine, return_freed_memory
from ocrhpi.edge.images import read_image, to_tensor
from ocrhpi.errors import BackendClosed, BackendUnavailable, BundleError, OptionError
from ocrhpi.machine import usable_cores
from ocrhpi.recognition.batching import plan_batches, width_ladder
from ocrhpi.recognition.ctc import CtcDecoder, to_reading_order
from ocrhpi.recognition.geometry import line_geometry

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from ocrhpi.edge.config import BundleConfig
    from ocrhpi.edge.engine import EdgeEngine
    from ocrhpi.edge.images import ImageInput
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


_MAX_THREADS = 1024  # with more, engines hang
_RUNTIMES = (
    "ocrhpi.edge_runtimes"  # entry points that open what this runner cannot; `ocrhpi` has one, `ocrhpi-edge` none
)


class EdgeReader(Closing):
    """Reads text lines with the engine of a bundle; the text of a line depends on that line alone.

    May be called from many threads. A context manager: leaving lets go of the engine.

    Args:
        config: What the bundle is made for.
        recognizer: What reads; the reader closes it.
    """

    def __init__(self, config: BundleConfig, recognizer: Recognizer) -> None:
        self.config = config
        self._recognizer = recognizer

    @property
    def engine(self) -> str:
        """Name and version of the engine, with its threads."""
        return self._recognizer.engine

    def read(self, images: Sequence[ImageInput], *, batch_size: int | None = None) -> list[TextLine]:
        """Read images of one text line each; return their texts in the same order.

        Args:
            images: Paths, encoded images, BGR arrays or PIL images.
            batch_size: Most lines in one call of the engine; of wide lines, as many as make the same work. None
                takes what the bundle was made with.

        Raises:
            InputError: An image cannot be read.
            BackendError: The engine failed, or was let go of.
            OptionError: An argument does not fit.
        """
        if not isinstance(images, (list, tuple)):
            raise OptionError("images", f"received a {type(images).__name__}; expected a list or tuple of images")
        if batch_size is not None and batch_size < 1:
            raise OptionError("batch_size", f"received {batch_size}; expected at least 1")
        return self._recognizer.read([read_image(image) for image in images], batch_size or self.config.batch_size)

    def close(self) -> None:
        """Let go of the engine. Closing twice is fine."""
        self._recognizer.close()


def open_bundle(path: os.PathLike[str] | str, *, threads: int | None = None, sha256: str | None = None) -> EdgeReader:
    """Open a bundle that ``ocrhpi bundle`` wrote.

    Args:
        path: The folder or the zip file.
        threads: CPU threads to compute with; None takes the usable cores.
        sha256: SHA-256 of the manifest that the bundle must have; ``ocrhpi bundle`` prints it. None takes any.

    Raises:
        BundleError: It is damaged, cut off, changed, incomplete or no bundle.
        BackendUnavailable: Its engine is not installed.
        BackendError: Its engine cannot load it.
        OptionError: ``threads`` does not fit.
    """
    with Bundle(path, sha256) as bundle:
        return reader_of(bundle, threads)


def reader_of(bundle: Bundle, threads: int | None = None) -> EdgeReader:
    """Open the engine of an opened bundle; arguments and errors are those of `open_bundle`."""
    if threads is not None and not 1 <= threads <= _MAX_THREADS:
        raise OptionError("threads", f"received {threads}; expected 1 to {_MAX_THREADS}")
    config, labels = bundle.config, bundle.labels
    if config.right_to_left:
        _require("bidi", "text of this model is written from right to left", "pip install 'ocrhpi-edge[arabic]'")
    cores = threads or usable_cores()
    if not config.small:
        from importlib.metadata import entry_points  # noqa: PLC0415 - slow to import, and needed here alone

        runtime = next(iter(entry_points(group=_RUNTIMES)), None)
        if runtime is None:
            reason = f"a bundle for {config.engine} is read by the whole of ocrhpi, not by its edge runner"
            raise BackendUnavailable(config.engine, reason, f"pip install 'ocrhpi[{config.engine}]'")
        recognizer: Recognizer = runtime.load()(bundle)
        return EdgeReader(config, recognizer)
    engine = open_engine(config.engine, bundle.take_artifact(), len(labels), config.precision, cores)
    return_freed_memory()
    return EdgeReader(config, EdgeRecognizer(config, labels, engine))


def _require(module: str, reason: str, install: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise BackendUnavailable(module, f"{reason}, and the module {module!r} is not installed", install)
