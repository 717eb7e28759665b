"""ONNX Runtime on a device: little memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrhpi.backends.onnx_io import GraphInterface
from ocrhpi.edge.engine import EdgeEngine
from ocrhpi.engines.onnxruntime_ import OnnxRuntimeGraph

if TYPE_CHECKING:
    import numpy.typing as npt

    from ocrhpi.edge.bundle import Artifact


class OnnxRuntimeEngine(EdgeEngine):
    """ONNX Runtime with the CPU execution provider. The precision is that of the graph."""

    name = "onnxruntime"

    def _open(self, artifact: Artifact, precision: str) -> None:  # noqa: ARG002 - the graph's
        # An arena would keep what the widest line needed.
        self._graph = OnnxRuntimeGraph(artifact.data or Path(str(artifact.path)), self.threads, arena=False)
        self.version = self._graph.version
        inputs, outputs = ([{name} for name in names] for names in (self._graph.inputs, self._graph.outputs))
        self.interface = GraphInterface.read(Path(artifact.name), inputs, outputs)

    def _run(self, inputs: tuple[npt.NDArray[Any], ...]) -> list[npt.NDArray[Any]]:
        return self._graph.run(inputs)
