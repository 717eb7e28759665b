"""ONNX Runtime on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

CPU = "CPUExecutionProvider"
FATAL = 4
"""Log severity; what is less comes as an exception, too."""


def session_options(
    onnxruntime: Any,  # noqa: ANN401 - the module, which is untyped
    *,
    threads: int,
    arena: bool = True,
    spinning: bool = True,
    inter_op: int = 1,
) -> Any:  # noqa: ANN401
    """Return ``onnxruntime.SessionOptions`` for graphs whose shapes change from call to call.

    Args:
        onnxruntime: The module.
        threads: Threads that compute one operator.
        arena: Whether memory is kept from call to call: as much as the largest needed.
        spinning: Whether threads wait for work in a loop, which is quicker, and takes cores from others.
        inter_op: Operators that run at the same time.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = inter_op
    if inter_op > 1:
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    for pool in ("intra_op", "inter_op"):
        options.add_session_config_entry(f"session.{pool}.allow_spinning", str(int(spinning)))
    options.enable_cpu_mem_arena = arena
    options.enable_mem_pattern = False  # a plan is kept for every shape, and shapes are many
    return options


class OnnxRuntimeGraph:
    """A graph on the CPU provider; its precision is that of the graph. May be called from many threads.

    Attributes:
        version: Version of ONNX Runtime.
        inputs: Names of the inputs, in the order of the graph.
        outputs: Names of the outputs.

    Args:
        source: The ONNX file, or its bytes.
        threads: CPU threads to compute with.
        arena: As in `session_options`.
        spinning: As there.

    Raises:
        ImportError: ONNX Runtime is not installed.
        Exception: What ONNX Runtime raises where it cannot load the graph.
    """

    def __init__(self, source: bytes | Path, threads: int, *, arena: bool = True, spinning: bool = True) -> None:
        import onnxruntime  # noqa: PLC0415 - engines are imported only where one is opened

        options = session_options(onnxruntime, threads=threads, arena=arena, spinning=spinning)
        given = source if isinstance(source, bytes) else str(source)
        # Without enable_fallback=0 a provider that fails is replaced, and the fact printed.
        session = onnxruntime.InferenceSession(given, options, providers=[CPU], enable_fallback=0)
        # The Python object keeps the bytes for a fallback that is off: as much memory as the graph is long.
        session._model_bytes = None  # noqa: SLF001 - nothing public lets go of it
        self.version = str(onnxruntime.__version__)
        self.inputs = [tensor.name for tensor in session.get_inputs()]
        self.outputs = [tensor.name for tensor in session.get_outputs()]
        self._session = session

    def run(self, arrays: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Run the graph on inputs in its order; return its outputs in its order, which belong to the caller."""
        outputs: list[npt.NDArray[Any]] = self._session.run(None, dict(zip(self.inputs, arrays, strict=True)))
        return outputs
