"""What the engines that run ONNX share: the file, and the interface of the graphs that the exporter makes.

Inputs are the batch, ``x`` float32 (N, 3, H, W), or in a graph that normalises ``pixels`` uint8 (N, H, W, 3) and
``contents`` int32 (N,); then, in a width-masked graph, ``widths``, int32 (N,). Outputs are either the probabilities
of all classes, (N, T, classes), or ``indices`` and ``probs``, (N, T) each; a width-masked graph has ``steps``,
int32 (N,), besides: how many time steps of each line are valid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ocrhpi.errors import ModelFormatError, ModelNotFound
from ocrhpi.values import Emissions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    import numpy.typing as npt

    from ocrhpi.model import Model
    from ocrhpi.values import Contents, NetworkInput, Probabilities, Widths


def onnx_file(model: Model, backend: str) -> Path:
    """Return the ONNX file of ``model``.

    Raises:
        ModelNotFound: There is none; the error says how to make one.
    """
    path = model.files.onnx
    if path is None or not path.is_file():
        raise ModelNotFound(
            path or model.path / "inference.onnx",
            f"an ONNX file for the backend {backend!r}; make it from the Paddle model with: ocrhpi export {model.path}",
        )
    return path


@dataclass(frozen=True)
class GraphInterface:
    """Where a graph takes and gives what; positions count in the order of the graph.

    Attributes:
        masked: Whether the last input is ``widths``.
        pixels: Whether the first inputs are ``pixels`` and ``contents``.
        probabilities: Position of the full output; None where the graph reduces it to top-1 itself.
        indices: Position of the class indices, where the graph reduces.
        probs: Position of their probabilities, where the graph reduces.
        steps: Position of the valid time steps, in a width-masked graph.
    """

    masked: bool
    pixels: bool
    probabilities: int | None
    indices: int | None
    probs: int | None
    steps: int | None

    @classmethod
    def read(
        cls, file: Path, inputs: Sequence[AbstractSet[str]], outputs: Sequence[AbstractSet[str]]
    ) -> GraphInterface:
        """Recognise the interface by the names of the inputs and outputs; an engine may know several for each.

        Raises:
            ModelFormatError: The graph has another interface.
        """
        pixels = len(inputs) > 1 and "contents" in inputs[1]
        rest_of_inputs = inputs[2 if pixels else 1 :]
        masked = bool(rest_of_inputs)
        if not inputs or len(rest_of_inputs) > 1 or (masked and "widths" not in rest_of_inputs[0]):
            expected = "the batch, 'contents' where that is of pixels, and in a width-masked graph 'widths'"
            raise ModelFormatError(file, "inputs", f"received {_listed(inputs)}; expected {expected}")
        found = {
            name: at for at, names in enumerate(outputs) for name in ("indices", "probs", "steps") if name in names
        }
        rest = [at for at in range(len(outputs)) if at not in found.values()]
        reduced = {"indices", "probs"} <= found.keys() and not rest
        full = found.keys() <= {"steps"} and len(rest) == 1
        if not (reduced or full) or ("steps" in found) != masked:
            expected = "'indices' and 'probs', or one output with the probabilities of all classes"
            steps = ", and 'steps' since the graph takes 'widths'" if masked else ""
            raise ModelFormatError(file, "outputs", f"received {_listed(outputs)}; expected {expected}{steps}")
        return cls(
            masked, pixels, rest[0] if full else None, found.get("indices"), found.get("probs"), found.get("steps")
        )

    def inputs(
        self, batch: NetworkInput, widths: Widths | None, contents: Contents | None
    ) -> tuple[npt.NDArray[Any], ...]:
        """Return what goes into the graph, in its order."""
        return tuple(array for array in (batch, contents, widths) if array is not None)

    def emissions(self, outputs: Sequence[npt.NDArray[Any]], reduce: Callable[[Probabilities], Emissions]) -> Emissions:
        """Make emissions of the outputs, in the order of the graph; they share no memory with them."""
        if self.probabilities is not None:
            emissions = reduce(outputs[self.probabilities])
        else:
            assert self.indices is not None  # noqa: S101 - read() has seen to it
            assert self.probs is not None  # noqa: S101
            emissions = Emissions(
                np.array(outputs[self.indices], dtype=np.int32), np.array(outputs[self.probs], dtype=np.float32)
            )
        if self.steps is not None:
            steps = np.array(outputs[self.steps], dtype=np.int32)
            emissions.indices[np.arange(emissions.indices.shape[1]) >= steps[:, None]] = 0
            return replace(emissions, steps=steps)
        return emissions


def _listed(tensors: Sequence[AbstractSet[str]]) -> str:
    return ", ".join(repr("/".join(sorted(names))) for names in tensors) or "none"
