"""A half graph as a CPU can run it honestly: FP32 arithmetic, every result rounded to FP16.

Where ONNX Runtime has no FP16 kernel for the CPU it computes in FP32 and, between two such nodes, leaves out the
rounding; so neither the rounding of activations nor their overflow would show. Here both are nodes of the graph, which
ONNX Runtime keeps (casts that lose precision are never removed). Sums within an operator are in FP32, as on GPUs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ocrhpi.export.graph import GraphEditor
from ocrhpi.export.precisions import MOVES, SIZES, constants_of, element_types

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_EXACT = MOVES | SIZES | {"Cast", "Constant"}


def emulate_half(model: ModelProto) -> ModelProto:
    """Return a copy of a graph that `ocrhpi.export.fp16.to_half` made, to be run without graph optimisation.

    Raises:
        ValueError: The type of a tensor cannot be inferred.
    """
    import onnx  # noqa: PLC0415 - only the exporter needs it

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return _Emulator(copy).run()


class _Emulator:
    def __init__(self, model: ModelProto) -> None:
        from onnx import TensorProto  # noqa: PLC0415

        self._model = model
        self._single, self._half = int(TensorProto.FLOAT), int(TensorProto.FLOAT16)
        self._halves = {name for name, kind in element_types(model).items() if kind == self._half}
        self._constants = constants_of(model)
        self._editor = GraphEditor(model, "emulated")
        self._rounded: dict[str, str] = {}
        self._widened: dict[str, str] = {}

    def run(self) -> ModelProto:
        for node in self._model.graph.node:
            exact = node.op_type in _EXACT
            for position, name in enumerate(node.input):
                if name in self._halves:
                    rounded = self._rounded.get(name, name)
                    node.input[position] = rounded if exact else self._widen(rounded)
            if not exact:
                self._round(node)
        self._editor.finish()
        return self._model

    def _round(self, node: NodeProto) -> None:
        for name in node.output:
            if name in self._halves:
                self._rounded[name] = self._editor.node("Cast", [name], to=self._half)

    def _widen(self, tensor: str) -> str:
        if tensor not in self._widened:
            value = self._constants.get(tensor)
            self._widened[tensor] = (
                self._editor.node("Cast", [tensor], to=self._single)
                if value is None
                else self._editor.constant(value.astype(np.float32))
            )
        return self._widened[tensor]
