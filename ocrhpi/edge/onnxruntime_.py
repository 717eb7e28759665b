"""ONNX Runtime on a device: little memory, and no wait for what a small machine does not have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrhpi.backends.onnx_io import GraphInterface
from ocrhpi.edge.engine import EdgeEngine

if TYPE_CHECKING:
    import numpy.typing as npt

    from ocrhpi.edge.bundle import Artifact

_CPU = "CPUExecutionProvider"
_FATAL = 4  # log severity; what is less comes as an exception, too


class OnnxRuntimeEngine(EdgeEngine):
    """ONNX Runtime with the CPU execution provider. The precision is that of the graph."""

    name = "onnxruntime"

    def _open(self, artifact: Artifact, precision: str) -> None:  # noqa: ARG002 - the graph's
        import onnxruntime  # noqa: PLC0415 - engines are imported only by the engine that is opened

        options = onnxruntime.SessionOptions()
        options.log_severity_level = _FATAL
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # it keeps what the widest line needed
        options.enable_mem_pattern = False  # a plan is kept for every shape, and widths are many
        source = artifact.data or str(artifact.path)
        # Without enable_fallback=0 a provider that fails is replaced, and the fact printed.
        session = onnxruntime.InferenceSession(source, options, providers=[_CPU], enable_fallback=0)
        # The Python object keeps the bytes for a fallback that is off: as much memory as the graph is long.
        session._model_bytes = None  # noqa: SLF001 - nothing public lets go of it
        self.version = str(onnxruntime.__version__)
        inputs = [tensor.name for tensor in session.get_inputs()]
        outputs = [tensor.name for tensor in session.get_outputs()]
        self.interface = GraphInterface.read(Path(artifact.name), [{name} for name in inputs], [{n} for n in outputs])
        self._session, self._inputs = session, inputs

    def _run(self, inputs: tuple[npt.NDArray[Any], ...]) -> list[npt.NDArray[Any]]:
        outputs: list[npt.NDArray[Any]] = self._session.run(None, dict(zip(self._inputs, inputs, strict=True)))
        return outputs
