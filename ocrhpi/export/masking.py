"""The width mask: a pass that makes right padding exact, so that any lines share a batch.

Padding changes what a network reads, because convolutions, pools and attention mix padded columns into real ones.
This pass adds an input ``widths``, the exact width of each line, and sees to it that columns beyond have no effect:

- before each convolution or max-pool whose window reaches over the border, columns beyond the width are set to what
  the border holds (zero, or a large negative number for max-pools);
- a mean over all columns becomes mean(x * mask) / mean(mask), where the rows are averaged first;
- attention scores of tokens beyond the width get a large negative bias, so that their weight is exactly zero;
- the mask thins out as the strides of the network do, and the output ``steps`` says how many time steps are real.

The first convolution needs nothing: the padding of a line is zero already, as its border is.

No shape depends on the value of a tensor: columns are counted by a cumulative sum, and a stride takes every s-th column
of the mask before it. Where one does, engines stop there to look, and OpenVINO keeps tensors apart that could share
memory (docs/decisions/0007-the-width-mask-probes-sizes.md).

Which width ("level") a tensor has is found by running the graph at several widths and comparing sizes, not by following
names and shapes; so reshapes between maps and token sequences need no rules. A graph with an operator that is not known
to keep columns apart is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ocrhpi.backends.guest import as_it_was
from ocrhpi.export.passes import INPUT_NAME, PROBABILITIES_NAME, STEPS_NAME, WIDTHS_NAME, GraphEditor, attribute

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

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
        # Horizontal resolution -> its mask, (N, 1, 1, width), float32, 1 for the real columns of each line.
        self.masks: dict[Widths, str] = {}
        self.masked: dict[tuple[str, float], str] = {}

    def run(self) -> ModelProto:
        from onnx import TensorProto, helper  # noqa: PLC0415

        editor = self.editor
        self.model.graph.input.append(helper.make_tensor_value_info(WIDTHS_NAME, TensorProto.INT32, ("N",)))
        self.masks[self.probe.widths_of(INPUT_NAME)] = self._first_mask()
        for node in list(self.model.graph.node):
            self._visit(node)
        mask = self._mask_of(self.probe.time_steps(PROBABILITIES_NAME), "the output")
        steps = editor.reduce("ReduceSum", mask, (1, 2, 3), keepdims=False)
        editor.node("Cast", [steps], STEPS_NAME, to=TensorProto.INT32)
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
        mask = self._mask_of(widths, f"the input of {node.op_type} {node.name}")
        window = _Window.of(node, self.editor)
        if window.reaches_over:
            if node.op_type == "AveragePool":
                raise UnknownGraph(f"AveragePool {node.name} averages over padding")
            if source != INPUT_NAME:
                node.input[0] = self._masked(source, mask, _NEVER if node.op_type == "MaxPool" else 0.0)
        after = self.probe.widths_of(node.output[0])
        if after not in self.masks:
            self.masks[after] = self._thinned(mask, window)
        expected = tuple(window.width_after(width) for width in widths)
        if expected != after:
            raise UnknownGraph(f"{node.op_type} {node.name} turns widths {widths} into {after}, expected {expected}")

    def _first_mask(self) -> str:
        """Return the mask of the input: a column is real while fewer are counted than the line is wide."""
        from onnx import TensorProto  # noqa: PLC0415

        editor = self.editor
        first, second, axes = (editor.constant(np.array(value, np.int64)) for value in ([0, 0], [1, 1], [1, 2]))
        row = editor.node("Slice", [INPUT_NAME, first, second, axes])
        one = editor.constant(np.array(1, np.float32))
        # Ones in the shape of the batch, whatever its pixels are.
        numbers = editor.node("CumSum", [editor.node("Clip", [row, one, one]), editor.constant(np.array(3, np.int64))])
        line = editor.node("Cast", [WIDTHS_NAME], to=TensorProto.FLOAT)
        line = editor.node("Reshape", [line, editor.constant(np.array([-1, 1, 1, 1], np.int64))])
        beyond = editor.node("Greater", [numbers, line])
        return editor.node("Cast", [editor.node("Not", [beyond])], to=TensorProto.FLOAT)

    def _thinned(self, mask: str, window: _Window) -> str:
        """Return the mask after a window: a position is real if the window at it ends within the line and its border.

        Position j covers columns up to j * stride + reach - 1 - left, of which ``right`` may lie beyond the line.
        """
        start = window.reach - window.left - window.right - 1
        if window.round_up:
            start -= window.stride - 1
        if start < 0:
            pads = self.editor.constant(np.array([0, 0, 0, -start, 0, 0, 0, 0], np.int64))
            mask = self.editor.node("Pad", [mask, pads, self.editor.constant(np.array(1, np.float32))])
            start = 0
        if (start, window.stride) == (0, 1):
            return mask
        values = ([start], [np.iinfo(np.int64).max], [3], [window.stride])
        return self.editor.node("Slice", [mask, *(self.editor.constant(np.array(value, np.int64)) for value in values)])

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
        editor = self.editor
        mask = self._mask_of(self.probe.widths_of(source), f"the input of {node.op_type} {node.name}")
        # Rows first: the mask then goes over one row, not over the whole map.
        columns = editor.node("Mul", [self._mean_of_rows(source), mask])
        share = editor.reduce("ReduceMean", mask, (3,))
        keepdims = node.op_type == "GlobalAveragePool" or bool(attribute(node, "keepdims", 1))
        mean = editor.node(
            "Div", [editor.reduce("ReduceMean", columns, (3,)), share], node.output[0] if keepdims else None
        )
        if not keepdims:
            editor.node("Reshape", [mean, editor.constant(np.array([0, -1], np.int64))], node.output[0])
        node.output[0] = f"{node.output[0]}.over_padding"  # used by nothing, and so dropped

    def _mean_of_rows(self, source: str) -> str:
        """Average a map over its rows, by a pool where their number is fixed: engines have quicker ones than means."""
        if self.probe.varies(source, 2):
            return self.editor.reduce("ReduceMean", source, (2,))
        return self.editor.node("AveragePool", [source], kernel_shape=[self.probe.sizes(source, 2)[0], 1])

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
        node.input[0] = self.editor.node("Add", [source, self._bias(sizes, rank, node)])

    def _bias(self, sizes: Widths, rank: int, node: NodeProto) -> str:
        """Return what is added to attention scores over so many tokens: rows x columns of one of the resolutions."""
        for widths, of_row in self.masks.items():
            rows = sizes[0] // widths[0]
            if rows and all(size == rows * width for size, width in zip(sizes, widths, strict=True)):
                mask = self.editor.node("Concat", [of_row] * rows, axis=3) if rows > 1 else of_row
                break
        else:
            raise UnknownGraph(
                f"Softmax {node.name} over {sizes} tokens fits no width of the network {list(self.masks)}"
            )
        if rank != 4:  # noqa: PLR2004 - (N, heads, T, T)
            shape = self.editor.constant(np.array([0] + [1] * (rank - 2) + [-1], np.int64))
            mask = self.editor.node("Reshape", [mask, shape])
        inverse = self.editor.node("Sub", [self.editor.constant(np.array(1, np.float32)), mask])
        return self.editor.node("Mul", [inverse, self.editor.constant(np.array(_NEVER, np.float32))])

    def _masked(self, tensor: str, mask: str, border: float) -> str:
        """Set the columns of a map beyond the width to ``border``; one node serves all consumers."""
        key = (tensor, border)
        if key not in self.masked:
            masked = self.editor.node("Mul", [tensor, mask])
            if border:
                inverse = self.editor.node("Sub", [self.editor.constant(np.array(1, np.float32)), mask])
                low = self.editor.node("Mul", [inverse, self.editor.constant(np.array(border, np.float32))])
                masked = self.editor.node("Add", [masked, low])
            self.masked[key] = masked
        return self.masked[key]

    def _mask_of(self, widths: Widths, what: str) -> str:
        if widths not in self.masks:
            raise UnknownGraph(f"{what} has widths {widths}, which no stride before it explains")
        return self.masks[widths]

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
            filler = editor.value(node.input[2]) if len(node.input) > 2 else attribute(node, "value", 0.0)  # noqa: PLR2004
            if attribute(node, "mode", "constant") != "constant" or filler is None or np.any(filler):
                raise UnknownGraph(f"Pad {node.name} fills its borders with something else than zeros")
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

    @property
    def reaches_over(self) -> bool:
        """Whether a position may cover columns beyond the line."""
        return bool(self.left or self.right) or (self.round_up and self.stride > 1)

    def width_after(self, width: int) -> int:
        rest = width + self.left + self.right - self.reach + (self.stride - 1 if self.round_up else 0)
        return rest // self.stride + 1
