"""Sizes of the tensors of a graph as functions of the input width, found by running it at a few widths."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ocrhpi.backends.guest import as_it_was
from ocrhpi.export.passes import INPUT_NAME

if TYPE_CHECKING:
    from onnx import ModelProto

Widths: TypeAlias = tuple[int, ...]
"""The size of one axis at each of the probe widths; equal tuples mean equal functions of the input width."""

PROBE_WIDTHS = (64, 77, 90, 103)
"""Small, for speed, and such that rounding up, rounding down and both after each other differ."""


class WidthProbe:
    """Runs a graph once per probe width and remembers the shape of every tensor.

    Args:
        model: A graph with the one input ``x``, (N, 3, H, W).
    """

    def __init__(self, model: ModelProto) -> None:
        # At once, not on first use: the model is about to be edited.
        self._shapes = _run_at_probe_widths(model)

    def rank(self, tensor: str) -> int:
        """Return the number of axes."""
        return len(self._shapes[tensor][0])

    def sizes(self, tensor: str, axis: int) -> Widths:
        """Return the size of ``axis`` at each probe width."""
        return tuple(shape[axis] for shape in self._shapes[tensor])

    def varies(self, tensor: str, axis: int) -> bool:
        """Whether the size of ``axis`` depends on the input width."""
        return len(set(self.sizes(tensor, axis))) > 1

    def widths_of(self, tensor: str) -> Widths:
        """Return the sizes of the last axis of a map (N, C, H, W)."""
        return self.sizes(tensor, self.rank(tensor) - 1)

    def time_steps(self, tensor: str) -> Widths:
        """Return the sizes of the axis T of probabilities (N, T, classes)."""
        return self.sizes(tensor, 1)


def _run_at_probe_widths(model: ModelProto) -> dict[str, list[tuple[int, ...]]]:
    """Return the shape of every tensor of the graph at each probe width."""
    with as_it_was():
        import onnx  # noqa: PLC0415 - only the exporter needs them
        import onnxruntime  # noqa: PLC0415

    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    source = next(item for item in probe.graph.input if item.name == INPUT_NAME)
    rows, channels, height, width = (size.dim_value for size in source.type.tensor_type.shape.dim)
    if width:
        raise ValueError(f"it takes lines of {width} pixels only, which all share a batch in the plain form")
    names = [name for node in probe.graph.node for name in node.output if name]
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(probe.SerializeToString(), options, ["CPUExecutionProvider"])
    shapes: dict[str, list[tuple[int, ...]]] = {name: [] for name in (INPUT_NAME, *names)}
    for width in PROBE_WIDTHS:
        line = np.zeros((rows or 1, channels, height, width), np.float32)
        shapes[INPUT_NAME].append(line.shape)
        for name, value in zip(names, session.run(names, {INPUT_NAME: line}), strict=True):
            shapes[name].append(np.shape(value))
    return shapes
