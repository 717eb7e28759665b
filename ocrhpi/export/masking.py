"""The width mask: a pass that makes right padding exact, so that any lines share a batch.

Padding changes what a network reads, because convolutions, pools and attention mix padded columns into real ones.
This pass adds an input ``widths``, the exact width of each line, and sees to it that columns beyond have no effect:

- before each convolution or max-pool whose window reaches over the border, columns beyond the width are set to what
  the border holds (zero, or a large negative number for max-pools);
- a mean over all columns becomes mean(x * mask) / mean(mask);
- attention scores of tokens beyond the width get a large negative bias, so that their weight is exactly zero;
- the width shrinks as the strides of the network do, and the output ``steps`` says how many time steps are real.

The first convolution needs nothing: the padding of a line is zero already, as its border is.

Which width ("level") a tensor has is found by running the graph at several widths and comparing sizes, not by following
names and shapes; so reshapes between maps and token sequences need no rules. A graph with an operator that is not known
to keep columns apart is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ocrhpi.export.graph import GraphEditor, attribute
from ocrhpi.export.passes import INPUT_NAME, PROBABILITIES_NAME, STEPS_NAME, WIDTHS_NAME
from ocrhpi.export.widths import WidthProbe, Widths

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

__all__ = ["UnknownGraph", "mask_widths"]

# exp(score - 1e4) is exactly zero beside any real score, in float32 and in float16.
_NEVER = -1e4

_ROW_BY_ROW = frozenset(
    {"Add", "BatchNormalization", "Cast", "Clip", "Concat", "Constant", "Div", "Erf", "Exp", "Expand", "Flatten"}
    | {"Gather", "Gelu", "Gemm", "HardSigmoid", "HardSwish", "Identity", "LayerNormalization", "LeakyRelu", "MatMul"}
    | {"Mul", "Neg", "Pow", "Reciprocal", "Relu", "Reshape", "Shape", "Sigmoid", "Slice", "Split", "Sqrt", "Squeeze"}
    | {"Sub", "Tanh", "Transpose", "Unsqueeze"}
)
"""Operators that keep columns apart, or whose mixing is undone elsewhere (MatMul with masked attention weights)."""


class UnknownGraph(ValueError):
    """The graph has something that this pass does not know how to mask."""


@dataclass(frozen=True)
class _Level:
    """One horizontal resolution.

    Attributes:
        line: Tensor (N,), int64: the width of each line at this level.
        batch: Tensor (1,), int64: the width of the batch at this level.
    """

    line: str
    batch: str


def mask_widths(model: ModelProto) -> ModelProto:
    """Add the width mask to a graph from ``x`` to probabilities, in place.

    Raises:
        UnknownGraph: An operator or a size that this pass does not understand.
    """
    return _Masker(model).run()


class _Masker:
    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.editor = GraphEditor(model, "mask")
        self.probe = WidthProbe(model)
        self.levels: dict[Widths, _Level] = {}
        self.masks: dict[tuple[Widths, int], str] = {}
        self.masked: dict[tuple[str, float], str] = {}

    def run(self) -> ModelProto:
        from onnx import TensorProto, helper  # noqa: PLC0415

        editor = self.editor
        self.model.graph.input.append(helper.make_tensor_value_info(WIDTHS_NAME, TensorProto.INT32, ("N",)))
        shape = editor.node("Shape", [INPUT_NAME])
        width = editor.node("Gather", [shape, editor.constant(np.array([3], np.int64))], axis=0)
        line = editor.node("Cast", [WIDTHS_NAME], to=TensorProto.INT64)
        self.levels[self.probe.widths_of(INPUT_NAME)] = _Level(line, width)
        for node in list(self.model.graph.node):
            self._visit(node)
        level = self._level(self.probe.time_steps(PROBABILITIES_NAME), "the output")
        editor.node("Cast", [level.line], STEPS_NAME, to=TensorProto.INT32)
        editor.set_outputs(
            [
                (PROBABILITIES_NAME, TensorProto.FLOAT, ("N", "T", "classes")),
                (STEPS_NAME, TensorProto.INT32, ("N",)),
            ]
        )
        editor.finish()
        return self.model

    def _visit(self, node: NodeProto) -> None:
        if node.op_type in {"Conv", "MaxPool", "AveragePool", "Pad"}:
            self._window(node)
        elif node.op_type in {"GlobalAveragePool", "ReduceMean"}:
            self._mean(node)
        elif node.op_type == "Softmax":
            self._attention(node)
        elif node.op_type not in _ROW_BY_ROW:
            raise UnknownGraph(f"operator {node.op_type} is not known to keep the columns of a line apart")

    def _window(self, node: NodeProto) -> None:
        """Mask the input of a sliding window that reaches over the border, and follow its stride."""
        source = node.input[0]
        if not self.probe.varies(source, self.probe.rank(source) - 1):
            return  # behind a mean over all columns: the gate of a squeeze-and-excitation
        widths = self.probe.widths_of(source)
        level = self._level(widths, f"the input of {node.op_type} {node.name}")
        window = _Window.of(node, self.editor)
        if window.left or window.right:
            if node.op_type == "AveragePool":
                raise UnknownGraph(f"AveragePool {node.name} averages over padding")
            if source != INPUT_NAME:
                node.input[0] = self._mask(source, widths, _NEVER if node.op_type == "MaxPool" else 0.0)
        after = self.probe.widths_of(node.output[0])
        if after not in self.levels:
            self.levels[after] = self._shrunk(level, window)
        expected = tuple(window.width_after(width) for width in widths)
        if expected != after:
            raise UnknownGraph(f"{node.op_type} {node.name} turns widths {widths} into {after}, expected {expected}")

    def _shrunk(self, level: _Level, window: _Window) -> _Level:
        def shrink(tensor: str) -> str:
            padded = self.editor.node("Add", [tensor, self._int64(window.left + window.right - window.reach)])
            if window.round_up:
                padded = self.editor.node("Add", [padded, self._int64(window.stride - 1)])
            steps = self.editor.node("Div", [padded, self._int64(window.stride)])
            return self.editor.node("Add", [steps, self._int64(1)])

        return _Level(shrink(level.line), shrink(level.batch))

    def _mean(self, node: NodeProto) -> None:
        """Replace a mean over columns by the mean over the real ones."""
        source = node.input[0]
        axes = self._reduced_axes(node, self.probe.rank(source))
        if not any(self.probe.varies(source, axis) for axis in axes):
            return  # over channels or rows: a layer normalisation, for example
        if self.probe.rank(source) != 4 or axes != (2, 3):  # noqa: PLR2004 - a map (N, C, H, W)
            raise UnknownGraph(
                f"{node.op_type} {node.name} averages over axes {axes} of a rank-{self.probe.rank(source)} tensor"
            )
        widths = self.probe.widths_of(source)
        level = self._level(widths, f"the input of {node.op_type} {node.name}")
        node.input[0] = self._mask(source, widths, 0.0)
        plain = f"{node.output[0]}.over_padding"
        ratio = self.editor.node("Div", [self._float(level.batch), self._float(level.line)])
        rank = 4 if node.op_type == "GlobalAveragePool" or attribute(node, "keepdims", 1) else 2
        shape = self.editor.constant(np.array([-1] + [1] * (rank - 1), np.int64))
        self.editor.node("Mul", [plain, self.editor.node("Reshape", [ratio, shape])], node.output[0])
        node.output[0] = plain

    def _attention(self, node: NodeProto) -> None:
        """Take the weight of tokens beyond the width out of an attention softmax."""
        source = node.input[0]
        rank = self.probe.rank(source)
        axis = attribute(node, "axis", -1)
        if axis not in {-1, rank - 1}:
            raise UnknownGraph(f"Softmax {node.name} works on axis {axis} of a rank-{rank} tensor")
        if not self.probe.varies(source, rank - 1):
            return  # over classes
        sizes = self.probe.sizes(source, rank - 1)
        widths, rows = self._as_rows(sizes, node)
        bias = self._bias(widths, rows, rank)
        node.input[0] = self.editor.node("Add", [source, bias])

    def _as_rows(self, sizes: Widths, node: NodeProto) -> tuple[Widths, int]:
        """Read a number of tokens as rows x columns of one of the levels."""
        for widths in self.levels:
            rows = sizes[0] // widths[0]
            if rows and all(size == rows * width for size, width in zip(sizes, widths, strict=True)):
                return widths, rows
        raise UnknownGraph(f"Softmax {node.name} over {sizes} tokens fits no width of the network {list(self.levels)}")

    def _bias(self, widths: Widths, rows: int, rank: int) -> str:
        mask = self._mask_of(widths, rows)  # (N, 1, 1, tokens)
        if rank != 4:  # noqa: PLR2004 - (N, heads, T, T)
            shape = self.editor.constant(np.array([0] + [1] * (rank - 2) + [-1], np.int64))
            mask = self.editor.node("Reshape", [mask, shape])
        inverse = self.editor.node("Sub", [self.editor.constant(np.array(1, np.float32)), mask])
        return self.editor.node("Mul", [inverse, self.editor.constant(np.array(_NEVER, np.float32))])

    def _mask(self, tensor: str, widths: Widths, border: float) -> str:
        """Set the columns of a map beyond the width to ``border``; one node serves all consumers."""
        key = (tensor, border)
        if key not in self.masked:
            mask = self._mask_of(widths, rows=1)
            masked = self.editor.node("Mul", [tensor, mask])
            if border:
                inverse = self.editor.node("Sub", [self.editor.constant(np.array(1, np.float32)), mask])
                low = self.editor.node("Mul", [inverse, self.editor.constant(np.array(border, np.float32))])
                masked = self.editor.node("Add", [masked, low])
            self.masked[key] = masked
        return self.masked[key]

    def _mask_of(self, widths: Widths, rows: int) -> str:
        """Return the mask of a level, (N, 1, 1, rows * width), float32, 1 for real columns, row after row."""
        if (widths, rows) not in self.masks:
            from onnx import TensorProto  # noqa: PLC0415

            level, editor = self.levels[widths], self.editor
            zero, one = self._scalar(0), self._scalar(1)
            # Reshape where Squeeze and Unsqueeze would do: those changed their form at opset 13.
            scalar = editor.node("Reshape", [level.batch, editor.constant(np.array([], np.int64))])
            columns = editor.node("Range", [zero, scalar, one])
            line = editor.node("Reshape", [level.line, editor.constant(np.array([-1, 1, 1, 1], np.int64))])
            mask = editor.node("Cast", [editor.node("Less", [columns, line])], to=TensorProto.FLOAT)
            self.masks[widths, rows] = editor.node("Concat", [mask] * rows, axis=3) if rows > 1 else mask
        return self.masks[widths, rows]

    def _level(self, widths: Widths, what: str) -> _Level:
        if widths not in self.levels:
            raise UnknownGraph(f"{what} has widths {widths}, which no stride before it explains")
        return self.levels[widths]

    def _reduced_axes(self, node: NodeProto, rank: int) -> tuple[int, ...]:
        if node.op_type == "GlobalAveragePool":
            return tuple(range(2, rank))
        given = attribute(node, "axes")
        if given is None and len(node.input) > 1:
            value = self.editor.value(node.input[1])
            given = None if value is None else value.tolist()
        if given is None:
            raise UnknownGraph(f"{node.op_type} {node.name} reduces axes that are not constant")
        return tuple(sorted(axis % rank for axis in given))

    def _float(self, tensor: str) -> str:
        from onnx import TensorProto  # noqa: PLC0415

        return self.editor.node("Cast", [tensor], to=TensorProto.FLOAT)

    def _int64(self, value: int) -> str:
        return self.editor.constant(np.array([value], np.int64))

    def _scalar(self, value: int) -> str:
        return self.editor.constant(np.array(value, np.int64))


@dataclass(frozen=True)
class _Window:
    """The horizontal half of a sliding window.

    Attributes:
        reach: Columns from its first to its last tap, inclusive.
        stride: Columns from one position to the next.
        left: Border columns added before the line.
        right: Border columns added after it.
        round_up: Whether a last, incomplete position counts.
    """

    reach: int
    stride: int
    left: int
    right: int
    round_up: bool

    @classmethod
    def of(cls, node: NodeProto, editor: GraphEditor) -> _Window:
        if node.op_type == "Pad":
            pads = attribute(node, "pads") or editor.value(node.input[1])
            if pads is None or len(pads) != 8:  # noqa: PLR2004 - begins and ends of four axes
                raise UnknownGraph(f"Pad {node.name} has borders that are not constant")
            return cls(reach=1, stride=1, left=int(pads[3]), right=int(pads[7]), round_up=False)
        kernel = attribute(node, "kernel_shape")
        if kernel is None:
            weights = editor.value(node.input[1])
            if weights is None:
                raise UnknownGraph(f"{node.op_type} {node.name} has weights that are not constant")
            kernel = weights.shape[2:]
        dilation = (attribute(node, "dilations") or [1, 1])[-1]
        stride = (attribute(node, "strides") or [1, 1])[-1]
        reach = dilation * (kernel[-1] - 1) + 1
        auto_pad = attribute(node, "auto_pad", "NOTSET")
        if auto_pad == "SAME_UPPER" and stride == 1:
            left, right = (reach - 1) // 2, reach // 2
        elif auto_pad in {"NOTSET", "VALID"}:
            pads = attribute(node, "pads") or [0, 0, 0, 0]
            left, right = pads[1], pads[3]
        else:
            raise UnknownGraph(f"{node.op_type} {node.name} pads by {auto_pad} at stride {stride}")
        return cls(reach, stride, left, right, bool(attribute(node, "ceil_mode", 0)))

    def width_after(self, width: int) -> int:
        rest = width + self.left + self.right - self.reach + (self.stride - 1 if self.round_up else 0)
        return rest // self.stride + 1
