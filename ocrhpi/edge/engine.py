"""A graph that ocrhpi exported, on one CPU: ONNX Runtime, with little memory, or OpenVINO, with one stream."""

from __future__ import annotations

import sys
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ocrhpi.backends.onnx_io import GraphInterface
from ocrhpi.engines.onnxruntime_ import OnnxRuntimeGraph
from ocrhpi.engines.openvino_ import PRECISIONS, FailedBefore, OpenVinoGraph
from ocrhpi.errors import BackendError, BackendMismatch, BackendUnavailable, BundleError, OcrhpiError
from ocrhpi.values import Emissions

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy.typing as npt

    from ocrhpi.edge.bundle import Artifact
    from ocrhpi.values import Probabilities, Tensor, Widths


_CACHE_MASKED, _CACHE_PLAIN = 2000, 1000  # docs/decisions/0006-openvino-memory.md


class EdgeEngine(ABC):
    """One engine that holds the graph of a bundle. May be called from many threads; one call runs at a time.

    Attributes:
        name: Name of the engine.
        version: Version of its library.
        interface: The inputs and outputs of the graph.

    Args:
        artifact: The graph.
        classes: Classes of the vocabulary, with blank and space.
        precision: Precision of the arithmetic.
        threads: CPU threads to compute with.

    Raises:
        BackendUnavailable: The engine is not installed.
        BackendError: It cannot load the graph.
    """

    name: ClassVar[str]
    version: str
    interface: GraphInterface

    def __init__(self, artifact: Artifact, classes: int, precision: str, threads: int) -> None:
        self.threads = threads
        self._artifact_name = artifact.name
        self._classes = classes
        self._lock = threading.Lock()
        try:
            self._open(artifact, precision)
        except OcrhpiError:
            raise
        except ImportError as error:
            install = f"pip install 'ocrhpi-edge[{self.name}]'"
            raise BackendUnavailable(self.name, f"it does not import: {error}", install) from error
        except Exception as error:
            # Engines raise types of their own, and to name them one would have to import them.
            raise BackendError(self.name, f"could not load {artifact.name}: {' '.join(str(error).split())}") from error

    def run(self, tensor: Tensor, widths: Widths | None = None) -> Emissions:
        """Read one batch.

        Args:
            tensor: (N, 3, H, W), float32, C-contiguous.
            widths: (N,), int32, exact widths in pixels, for a width-masked graph only.

        Raises:
            BackendError: The engine failed, or its probabilities are no numbers.
            BundleError: The graph and the vocabulary do not belong together.
        """
        with self._lock:
            try:
                emissions = self.interface.emissions(
                    self._run(self.interface.inputs(tensor, widths, None)), self._reduce
                )
            except OcrhpiError:
                raise
            except Exception as error:
                problem = f"could not run a batch of shape {tensor.shape}: {' '.join(str(error).split())}"
                raise BackendError(self.name, problem) from error
        if emissions.indices.size and emissions.indices.max() >= self._classes:
            raise self._classes_error(f"class {emissions.indices.max()}")
        if not emissions.finite:
            problem = f"{self._artifact_name} gives probabilities that are no numbers (NaN); make the bundle anew"
            raise BackendError(self.name, problem)
        return emissions

    @abstractmethod
    def _open(self, artifact: Artifact, precision: str) -> None:
        """Load the graph; set ``version`` and ``interface``."""

    @abstractmethod
    def _run(self, inputs: tuple[npt.NDArray[Any], ...]) -> list[npt.NDArray[Any]]:
        """Run the graph on inputs in its order; return its outputs in its order."""

    def _reduce(self, probabilities: Probabilities) -> Emissions:
        if probabilities.shape[-1] != self._classes:
            raise self._classes_error(f"output of shape {probabilities.shape}")
        return Emissions.from_probabilities(probabilities)

    def _classes_error(self, received: str) -> BundleError:
        problem = f"the network gives {received}, but the vocabulary makes {self._classes} classes"
        return BundleError(self._artifact_name, "vocabulary", problem)


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


ENGINES: dict[str, type[EdgeEngine]] = {one.name: one for one in (OnnxRuntimeEngine, OpenVinoEngine)}
"""Name of the engine -> its class."""


def open_engine(name: str, artifact: Artifact, classes: int, precision: str, threads: int) -> EdgeEngine:
    """Open the engine ``name``; arguments and errors are those of `EdgeEngine`."""
    if name not in ENGINES:
        problem = f"the engine {name!r} is none of {', '.join(ENGINES)}; a newer runner may know it"
        raise BundleError(artifact.name, "engine", problem)
    return ENGINES[name](artifact, classes, precision, threads)


def return_freed_memory() -> None:
    """Give pages that hold nothing any more back to the system, where the C library can: glibc.

    Loading a graph frees as much as the graph is long, in pieces that glibc keeps; with PP-OCRv4_mobile_rec they are 13
    of 105 MiB. It takes some milliseconds.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes  # noqa: PLC0415 - numpy has loaded it

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    if trim is not None:
        trim(0)
