"""Any network as ONNX, and the engines that run it as it stands: arrays in, arrays out."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ocrhpi.backends.registry import availability, backend_specs
from ocrhpi.errors import BackendError, BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    Arrays = Sequence[npt.NDArray[Any]]

__all__ = ["GRAPH_ENGINES", "GraphEngine", "open_graph"]


class GraphEngine(ABC):
    """One engine holding one graph, on the CPU, in FP32. May be called from many threads.

    Args:
        file: The ONNX file.
        threads: CPU threads.
    """

    name: ClassVar[str]

    def __init__(self, file: Path, threads: int) -> None:
        self._inputs = self._load(file, threads)

    def run(self, arrays: Arrays) -> list[npt.NDArray[Any]]:
        """Run the graph.

        Args:
            arrays: Its inputs in the order of their names, which is how PaddleX gives them.

        Raises:
            BackendError: The engine failed.
        """
        ordered = sorted(self._inputs)
        try:
            if len(arrays) != len(ordered):
                raise ValueError(f"received {len(arrays)} inputs; the graph takes {', '.join(ordered)}")  # noqa: TRY301
            feeds = {name: np.ascontiguousarray(array) for name, array in zip(ordered, arrays, strict=True)}
            return self._run(feeds)
        except Exception as error:
            problem = f"could not run {[array.shape for array in arrays]}: {' '.join(str(error).split())[:300]}"
            raise BackendError(self.name, problem) from error

    @abstractmethod
    def _load(self, file: Path, threads: int) -> list[str]:
        """Load the graph; return the names of its inputs."""

    @abstractmethod
    def _run(self, feeds: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Run the graph; return arrays that the engine will not write to again."""


class _OnnxRuntimeGraph(GraphEngine):
    name = "onnxruntime"

    def _load(self, file: Path, threads: int) -> list[str]:
        import onnxruntime  # noqa: PLC0415 - engines are imported only where they are opened

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # what is less comes as an exception, too
        options.enable_mem_pattern = False  # a plan is kept for every shape, and pages are of many
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # Paddle and OpenVINO run beside it
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        return [tensor.name for tensor in self._session.get_inputs()]

    def _run(self, feeds: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        outputs: list[npt.NDArray[Any]] = self._session.run(None, feeds)
        return outputs


class _OpenVinoGraph(GraphEngine):
    name = "openvino"

    def _load(self, file: Path, threads: int) -> list[str]:
        import openvino  # noqa: PLC0415 - as above

        properties = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
        }
        self._request = openvino.Core().compile_model(str(file), "CPU", properties).create_infer_request()
        self._busy = threading.Lock()
        return [tensor.get_any_name() for tensor in self._request.model_inputs]

    def _run(self, feeds: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        with self._busy:
            outputs = self._request.infer(feeds, share_inputs=True)
            return [np.array(output) for output in outputs.values()]


GRAPH_ENGINES: dict[str, type[GraphEngine]] = {kind.name: kind for kind in (_OnnxRuntimeGraph, _OpenVinoGraph)}
"""Name of the backend -> what runs any graph on its engine."""


def open_graph(name: str, file: Path, threads: int) -> GraphEngine:
    """Open a graph on the engine of the backend ``name``.

    Raises:
        BackendUnavailable: The engine is not installed.
        BackendError: It could not load the graph.
    """
    spec = backend_specs()[name]
    state = availability(spec)
    if not state.available:
        raise BackendUnavailable(name, state.reason, spec.install)
    try:
        return GRAPH_ENGINES[name](file, threads)
    except Exception as error:
        raise BackendError(name, f"could not load {file}: {' '.join(str(error).split())[:300]}") from error
