"""Any graph on an engine of the CPU, in FP32, whatever host process it runs in."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from ocrhpi.backends.guest import as_it_was
from ocrhpi.backends.openvino_ import process_core
from ocrhpi.backends.registry import availability, backend_specs
from ocrhpi.engines.onnxruntime_ import OnnxRuntimeGraph
from ocrhpi.engines.openvino_ import OpenVinoGraph
from ocrhpi.errors import BackendError, BackendUnavailable
from ocrhpi.forks import end_without_destructors, never_free, renew_in_children, without_forks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    Arrays = Sequence[npt.NDArray[Any]]


class GraphEngine:
    """One engine holding one graph, on the CPU, in FP32. May be called from many threads.

    In a forked child it loads the graph anew at the first run, since no engine survives a fork.

    Args:
        name: A key of `GRAPH_ENGINES`.
        file: The ONNX file.
        threads: CPU threads.
    """

    def __init__(self, name: str, file: Path, threads: int) -> None:
        self.name = name
        self._file, self._threads = file, threads
        self._loading = threading.Lock()
        self._inherited = False
        self._graph = self._loaded()
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
            names = [name if isinstance(name, str) else min(name) for name in self._graph.inputs]
            if len(arrays) != len(names):
                raise ValueError(f"received {len(arrays)} inputs; the graph takes {', '.join(sorted(names))}")  # noqa: TRY301
            given = dict(zip(sorted(names), map(np.ascontiguousarray, arrays), strict=True))
            with without_forks():
                return self._graph.run([given[name] for name in names])
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
                self._graph = self._loaded()
                self._inherited = False

    def _loaded(self) -> OnnxRuntimeGraph | OpenVinoGraph:
        end_without_destructors()
        with without_forks(), as_it_was():
            return GRAPH_ENGINES[self.name](self._file, self._threads)


def _onnxruntime(file: Path, threads: int) -> OnnxRuntimeGraph:
    return OnnxRuntimeGraph(file, threads, spinning=False)  # Paddle and OpenVINO run beside it


def _openvino(file: Path, threads: int) -> OpenVinoGraph:
    return OpenVinoGraph(file, threads, core=process_core())


GRAPH_ENGINES: dict[str, Callable[[Path, int], OnnxRuntimeGraph | OpenVinoGraph]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
}
"""Name of the backend -> what loads any graph on its engine."""


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
        return GraphEngine(name, file, threads)
    except Exception as error:
        raise BackendError(name, f"could not load {file}: {' '.join(str(error).split())[:300]}") from error
