"""Any network as ONNX, and the engines that run it as it stands: arrays in, arrays out."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ocrhpi.backends.guest import as_it_was
from ocrhpi.backends.openvino_ import process_core
from ocrhpi.backends.registry import availability, backend_specs
from ocrhpi.errors import BackendError, BackendUnavailable
from ocrhpi.forks import end_without_destructors, never_free, renew_in_children, without_forks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    Arrays = Sequence[npt.NDArray[Any]]


class GraphEngine(ABC):
    """One engine holding one graph, on the CPU, in FP32. May be called from many threads.

    In a forked child it loads the graph anew at the first run, since no engine survives a fork.

    Args:
        file: The ONNX file.
        threads: CPU threads.
    """

    name: ClassVar[str]

    def __init__(self, file: Path, threads: int) -> None:
        self._file, self._threads = file, threads
        self._loading = threading.Lock()
        self._inherited = False
        self._inputs = self._loaded()
        renew_in_children(self)

    def run(self, arrays: Arrays) -> list[npt.NDArray[Any]]:
        """Run the graph.

        Args:
            arrays: Its inputs in the order of their names, which is how PaddleX gives them.

        Raises:
            BackendError: The engine failed.
        """
        try:
            if self._inherited:
                self._load_here()
            ordered = sorted(self._inputs)
            if len(arrays) != len(ordered):
                raise ValueError(f"received {len(arrays)} inputs; the graph takes {', '.join(ordered)}")  # noqa: TRY301
            feeds = {name: np.ascontiguousarray(array) for name, array in zip(ordered, arrays, strict=True)}
            with without_forks():
                return self._run(feeds)
        except Exception as error:
            problem = f"could not run {[array.shape for array in arrays]}: {' '.join(str(error).split())[:300]}"
            raise BackendError(self.name, problem) from error

    def renew_after_fork(self) -> None:
        """Leave the engine alone: its threads are the parent's, and freeing it would wait for them."""
        never_free(dict(self.__dict__))
        self._loading = threading.Lock()
        self._inherited = True

    def _load_here(self) -> None:
        with self._loading:
            if self._inherited:
                self._inputs = self._loaded()
                self._inherited = False

    def _loaded(self) -> list[str]:
        end_without_destructors()
        with without_forks(), as_it_was():
            return self._load(self._file, self._threads)

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
        properties = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
        }
        compiled = process_core().compile_model(str(file), "CPU", properties)
        self._request: Any = compiled.create_infer_request()
        self._busy = threading.Lock()
        return [tensor.get_any_name() for tensor in self._request.model_inputs]

    def _run(self, feeds: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        with self._busy:
            request, self._request = self._request, None
            if request is None:  # it may give the outputs of an earlier call, see `ocrhpi.backends.openvino_`
                raise RuntimeError("it failed at an earlier call")
            outputs = request.infer(feeds, share_inputs=True)
            self._request = request
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
