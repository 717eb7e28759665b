"""OpenVINO on a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrhpi.backends.onnx_io import GraphInterface
from ocrhpi.edge.engine import EdgeEngine
from ocrhpi.engines.openvino_ import PRECISIONS, FailedBefore, OpenVinoGraph
from ocrhpi.errors import BackendError, BackendMismatch

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy.typing as npt

    from ocrhpi.edge.bundle import Artifact

_CACHE_MASKED, _CACHE_PLAIN = 2000, 1000  # docs/decisions/0006-openvino-memory.md


class OpenVinoEngine(EdgeEngine):
    """OpenVINO with one stream on the CPU."""

    name = "openvino"

    def _open(self, artifact: Artifact, precision: str) -> None:
        if precision not in PRECISIONS:
            raise BackendMismatch(self.name, f"precision {precision}", f"this runner knows {', '.join(PRECISIONS)}")
        source = artifact.data or Path(str(artifact.path))
        self._graph = OpenVinoGraph(source, self.threads, precision, cache=_primitives)
        self.interface = GraphInterface.read(Path(artifact.name), self._graph.inputs, self._graph.outputs)
        got = self._graph.precision
        if got != PRECISIONS[precision]:
            raise BackendMismatch(self.name, f"precision {precision}", f"OpenVINO would run {got} on this CPU")
        self.version = self._graph.version

    def _run(self, inputs: tuple[npt.NDArray[Any], ...]) -> list[npt.NDArray[Any]]:
        # The outputs stay in the engine's memory until the next call; emissions are made of them before that.
        try:
            return self._graph.run(inputs, share=True)
        except FailedBefore:
            raise BackendError(
                self.name, "it failed at an earlier batch and cannot go on; open the bundle anew"
            ) from None


def _primitives(inputs: Sequence[Collection[str]]) -> int:
    return _CACHE_MASKED if any("widths" in names for names in inputs) else _CACHE_PLAIN
