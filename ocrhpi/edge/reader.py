"""`open_bundle`: the way in on a device."""

from __future__ import annotations

import importlib.util
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from ocrhpi.edge.bundle import Bundle
from ocrhpi.edge.engine import open_engine
from ocrhpi.edge.images import read_image
from ocrhpi.edge.memory import return_freed_memory
from ocrhpi.edge.recognizer import EdgeRecognizer
from ocrhpi.errors import BackendUnavailable, OptionError
from ocrhpi.machine import usable_cores

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from types import TracebackType

    from typing_extensions import Self

    from ocrhpi.edge.config import BundleConfig
    from ocrhpi.edge.images import ImageInput
    from ocrhpi.edge.recognizer import Recognizer
    from ocrhpi.values import TextLine

_MAX_THREADS = 1024  # with more, engines hang
_RUNTIMES = (
    "ocrhpi.edge_runtimes"  # entry points that open what this runner cannot; `ocrhpi` has one, `ocrhpi-edge` none
)


class EdgeReader:
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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
