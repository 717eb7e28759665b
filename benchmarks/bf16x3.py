"""A prototype: dense convolutions as three products in BF16 with sums in FP32, on OpenVINO (docs/decisions/0029).

    python -m benchmarks.bf16x3 [--rounds 15]

x = hi + lo and W = Hi + Lo, each part exact in BF16; hi Hi + lo Hi + hi Lo has nearly the accuracy of FP32. The split
is written into the graph as c - (c - x) with c = 65537 x, in nodes that keep FP32, and the three products are one
convolution of the channels [hi, lo, hi] by [Hi, Hi, Lo], which AMX multiplies in BF16 and sums in FP32. Blocks of four
layers with the shapes that PP-OCRv4_mobile (1 x 1) and the servers (3 x 3) have at 8 x 320 pixels are timed in
interleaved rounds, and compared with FP32; what the layers really compute in is read back.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import onnx
import openvino
from onnx import TensorProto, helper, numpy_helper

from ocrhpi.backends.openvino_layers import keep_fp32
from ocrhpi.machine import usable_cores

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

_SPLIT = 65537.0  # 2^16 + 1: Veltkamp's split into 8 and 16 bits
_LAYERS = 4
_CALLS = 5
_SHAPES = (
    # lines, channels, height, width, kernel
    (8, 64, 24, 160, 1),
    (8, 128, 12, 160, 1),
    (8, 240, 12, 80, 1),
    (8, 480, 6, 80, 1),
    (8, 480, 3, 80, 1),
    (8, 128, 12, 80, 3),
    (8, 256, 6, 80, 3),
)
_KINDS = ("FP32", "BF16", "3 x BF16, parts stacked", "3 x BF16, parts cast and stacked")


class _Graph:
    """A block of layers, put together.

    Args:
        kind: One of `_KINDS`.
        shape: One of `_SHAPES`.
    """

    def __init__(self, kind: str, shape: tuple[int, ...]) -> None:
        self.kind = kind
        self.kept: list[str] = []
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        lines, channels, height, width, kernel = shape
        rng = np.random.default_rng(0)
        tensor = "x"
        for number in range(_LAYERS):
            weights = rng.standard_normal((channels, channels, kernel, kernel)).astype(np.float32)
            weights *= 1.4 / np.sqrt(channels * kernel * kernel)
            bias = 0.1 * rng.standard_normal((1, channels, 1, 1)).astype(np.float32)
            tensor = self._layer(f"l{number}", tensor, weights, bias)
        ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [lines, channels, height, width])]
        outputs = [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None)]
        graph = helper.make_graph(self._nodes, "block", ends, outputs, self._constants)
        self.model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)

    def _layer(self, name: str, tensor: str, weights: Floats, bias: Floats) -> str:
        pads = [weights.shape[2] // 2] * 4
        if "x" in self.kind:
            high = _bf16(weights)
            tensor, weights = self._parts(name, tensor), np.concatenate([high, high, weights - high], axis=1)
        product = self._node("Conv", [tensor, self._constant(f"{name}.w", weights)], f"{name}.p", keep=False, pads=pads)
        total = self._node("Add", [product, self._constant(f"{name}.b", bias)], f"{name}.s")
        return self._node("HardSwish", [total], f"{name}.a")

    def _parts(self, name: str, tensor: str) -> str:
        scaled = self._node("Mul", [tensor, self._constant(f"{name}.c", np.float32(_SPLIT))], f"{name}.sc")
        rest = self._node("Sub", [scaled, tensor], f"{name}.r")
        high = self._node("Sub", [scaled, rest], f"{name}.hi")
        low = self._node("Sub", [tensor, high], f"{name}.lo")
        cast = "cast" in self.kind
        if cast:
            high, low = (
                self._node("Cast", [one], f"{one}.b", keep=False, to=TensorProto.BFLOAT16) for one in (high, low)
            )
        stacked = self._node("Concat", [high, low, high], f"{name}.st", keep=False, axis=1)
        return self._node("Cast", [stacked], f"{name}.f", keep=False, to=TensorProto.FLOAT) if cast else stacked

    def _node(self, operator: str, inputs: list[str], output: str, *, keep: bool = True, **attributes: Any) -> str:  # noqa: ANN401
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        if keep:
            self.kept.append(output)
        return output

    def _constant(self, name: str, value: Floats | np.float32) -> str:
        self._constants.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name


def _bf16(values: Floats) -> Floats:
    """Round to the nearest BF16, ties to even."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    return ((bits + ((bits >> 16) & 1) + 0x7FFF) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def _compiled(core: Any, graph: _Graph) -> Any:  # noqa: ANN401 - untyped
    network = core.read_model(graph.model.SerializeToString(), b"")
    if "x" in graph.kind:

        def read(text: bytes, weights: bytes) -> Any:  # noqa: ANN401
            return core.read_model(text, openvino.Tensor(np.frombuffer(weights, np.uint8)))

        network = keep_fp32(network, graph.kept, openvino.save_model, read)
    properties = {
        "INFERENCE_PRECISION_HINT": "f32" if graph.kind == "FP32" else "bf16",
        "INFERENCE_NUM_THREADS": usable_cores(),
        "ENABLE_CPU_PINNING": False,
    }
    return core.compile_model(network, "CPU", properties)


def _ran(compiled: Any) -> str:  # noqa: ANN401
    """Say how the second convolution ran: its kernel, and the precision that it writes."""
    convolutions = [
        node.get_rt_info()
        for node in compiled.get_runtime_model().get_ordered_ops()
        if node.get_rt_info()["layerType"].astype(str) == "Convolution"
    ]
    facts = convolutions[1]
    return f"{facts['primitiveType'].astype(str)}, writes {facts['outputPrecisions'].astype(str)}"


@click.command(help=__doc__)
@click.option("--rounds", default=15, show_default=True)
def main(rounds: int) -> None:
    """Print the table."""
    core = openvino.Core()
    print("| block | | ms | times as fast as FP32 | error | runs |")
    print("|---|---|--:|--:|--:|---|")
    for shape in _SHAPES:
        x = np.random.default_rng(1).standard_normal(shape[:4]).astype(np.float32)
        compiled = {kind: _compiled(core, _Graph(kind, shape)) for kind in _KINDS}
        requests = {kind: one.create_infer_request() for kind, one in compiled.items()}
        outputs = {kind: np.array(next(iter(one.infer([x]).values()))) for kind, one in requests.items()}
        times: dict[str, list[float]] = {kind: [] for kind in _KINDS}
        for _ in range(rounds):
            for kind, request in requests.items():
                start = time.perf_counter()
                for _ in range(_CALLS):
                    request.infer()
                times[kind].append(1e3 * (time.perf_counter() - start) / _CALLS)
        medians = {kind: statistics.median(one) for kind, one in times.items()}
        block = f"{shape[0]} x {shape[1]} x {shape[2]} x {shape[3]}, {shape[4]} x {shape[4]}"
        for kind in _KINDS:
            error = float(np.abs(outputs[kind] - outputs["FP32"]).max() / np.abs(outputs["FP32"]).max())
            gain = medians["FP32"] / medians[kind]
            print(
                f"| {block} | {kind} | {medians[kind]:.2f} | {gain:.2f}x | {error:.1e} | {_ran(compiled[kind])} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
