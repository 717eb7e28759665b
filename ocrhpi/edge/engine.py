"""The contract of the small engines: a graph that ocrhpi exported, on one CPU."""

from __future__ import annotations

import importlib
import sys
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ocrhpi.errors import BackendError, BackendUnavailable, BundleError, OcrhpiError
from ocrhpi.values import Emissions

if TYPE_CHECKING:
    from typing import Any

    import numpy.typing as npt

    from ocrhpi.backends.onnx_io import GraphInterface
    from ocrhpi.edge.bundle import Artifact
    from ocrhpi.values import Probabilities, Tensor, Widths

ENGINES = {
    "onnxruntime": "ocrhpi.edge.onnxruntime_:OnnxRuntimeEngine",
    "openvino": "ocrhpi.edge.openvino_:OpenVinoEngine",
}
"""Name of the engine -> its class."""


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


def open_engine(name: str, artifact: Artifact, classes: int, precision: str, threads: int) -> EdgeEngine:
    """Open the engine ``name``; arguments and errors are those of `EdgeEngine`."""
    if name not in ENGINES:
        problem = f"the engine {name!r} is none of {', '.join(ENGINES)}; a newer runner may know it"
        raise BundleError(artifact.name, "engine", problem)
    module, _, attribute = ENGINES[name].partition(":")
    engine: EdgeEngine = getattr(importlib.import_module(module), attribute)(artifact, classes, precision, threads)
    return engine


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
