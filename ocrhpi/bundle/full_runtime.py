"""Bundles that the small runner cannot read: the whole of ocrhpi reads them, through its own backends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrhpi.assembly import open_reader
from ocrhpi.cache import keep
from ocrhpi.config.candidate import Candidate
from ocrhpi.files import write_atomically
from ocrhpi.model import ONNX_NAME, Model, ModelFiles
from ocrhpi.model.graph_facts import read_graph_facts
from ocrhpi.values import LineImage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from ocrhpi.edge.bundle import Artifact, Bundle
    from ocrhpi.edge.config import BundleConfig
    from ocrhpi.reading.base import LineReader
    from ocrhpi.values import Pixels, TextLine


class FullRuntimeRecognizer:
    """A `ocrhpi.edge.reader.Recognizer` with any backend of ocrhpi.

    Args:
        reader: What reads; closed with this.
    """

    def __init__(self, reader: LineReader) -> None:
        self._reader = reader

    @property
    def engine(self) -> str:
        """Name and version of the engine, with its device."""
        effective = self._reader.effective
        return f"{effective.backend} {effective.engine_version}, {effective.device}"

    def read(self, lines: Sequence[Pixels], batch_size: int) -> list[TextLine]:
        """Read lines; return their texts in the same order."""
        return self._reader.read([LineImage(line) for line in lines], batch_size=batch_size)

    def close(self) -> None:
        """Let go of the engine. Closing twice is fine."""
        self._reader.close()


def open_with_full_runtime(bundle: Bundle) -> FullRuntimeRecognizer:
    """Open the engine of a bundle, which may build what it runs and keep that in its own cache.

    The edge runner finds it as an entry point, so that it imports nothing of what is not on a device.

    Raises:
        OcrhpiError: The engine is not installed, or cannot load the graph.
    """
    config = bundle.config
    vocabulary = bundle.labels[1 : -1 if config.space else None]
    onnx = _on_disk(bundle.take_artifact(), bundle.seal)
    model = Model(
        config.model_name,
        onnx.parent,
        ModelFiles(onnx=onnx),
        config.spec,
        vocabulary,
        space=config.space,
        graph=read_graph_facts(onnx),
    )
    return FullRuntimeRecognizer(open_reader(model, _candidate(config)))


def _candidate(config: BundleConfig) -> Candidate:
    options: dict[str, Any] = {} if config.precision == "fp32" else {"precision": config.precision}
    return Candidate(
        backend=config.engine,
        options=options,
        batching=config.batching,
        width_step=config.width_step,
        batch_size=config.batch_size,
        buckets=config.buckets,
    )


def _on_disk(artifact: Artifact, seal: str) -> Path:
    """Return the graph as a file, for engines that read no memory: of a zip file, a copy in the cache."""
    if artifact.path is not None:
        return artifact.path
    return keep(f"bundles/{seal}/{ONNX_NAME}", lambda path: write_atomically(path, artifact.data))
