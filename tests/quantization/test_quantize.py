"""Graphs in INT8, run by ONNX Runtime."""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ocrhpi.quantization.quantize import quantization, quantize
from ocrhpi.quantization.statistics import measure_layers

if TYPE_CHECKING:
    import numpy.typing as npt

BATCH = np.random.default_rng(1).uniform(-1, 1, (2, 3, 48, 64)).astype(np.float32)


def network(*, opset: int = 17) -> onnx.ModelProto:
    """A convolution, a depthwise one whose channels differ a hundredfold, and a matrix product."""
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.normal(0, 0.3, (4, 3, 3, 3)) * np.array([0.1, 1, 10, 1]).reshape(4, 1, 1, 1),
        "w2": rng.normal(0, 1, (4, 1, 3, 3)),
        "b2": rng.normal(0, 1, 4),
        "w3": rng.normal(0, 1, (64, 5)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["conv", "w2", "b2"], ["depthwise"], pads=[1, 1, 1, 1], group=4),
        helper.make_node("MatMul", ["depthwise", "w3"], ["product"]),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 48, 64])],
        [helper.make_tensor_value_info("product", TensorProto.FLOAT, ["N", 4, 48, 5])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def run(model: onnx.ModelProto) -> npt.NDArray[np.float32]:
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    # Its own INT8 kernels know no scales for the channels of an input: those graphs are OpenVINO's.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": BATCH})[0])


def relative_error(model: onnx.ModelProto) -> float:
    expected = run(network())
    return float(np.abs(run(model) - expected).mean() / np.abs(expected).mean())


@pytest.mark.parametrize("between_pairs", [False, True])
def test_all_layers_in_int8_compute_nearly_the_same(between_pairs: bool) -> None:
    model = network()
    statistics = measure_layers(model, ["conv", "depthwise", "product"], [BATCH])
    lowered = quantize(copy.deepcopy(model), statistics, between_pairs=between_pairs)
    operators = Counter(node.op_type for node in lowered.graph.node)
    assert operators["QuantizeLinear"] == 6 if between_pairs else 3
    assert 0 < relative_error(lowered) < 0.05
    kinds = {item.name: item.data_type for item in lowered.graph.initializer}
    weights = [kinds[node.input[0]] for node in lowered.graph.node if node.input[0] in kinds]
    assert weights == [TensorProto.INT8] * 3


def test_only_the_layers_named_are_lowered() -> None:
    model = network()
    statistics = measure_layers(model, ["product"], [BATCH])
    lowered = quantize(model, statistics)
    by_name = {node.output[0]: node for node in lowered.graph.node}
    assert by_name["conv"].input[:] == ["x", "w1"]
    assert by_name["product"].input[1] != "w3"


def test_a_scale_for_each_channel_spares_the_small_ones() -> None:
    """The first channel is a hundredth of the third: with one scale its depthwise result would be noise."""
    model = network()
    statistics = measure_layers(model, ["depthwise"], [BATCH])
    lowered = quantize(copy.deepcopy(model), statistics)
    (node,) = [node for node in lowered.graph.node if node.op_type == "QuantizeLinear"]
    (scale,) = [numpy_helper.to_array(item) for item in lowered.graph.initializer if item.name == node.input[1]]
    assert scale.shape == (4,)
    assert scale[2] > 20 * scale[0]


def test_zero_is_exact() -> None:
    for low, high in ((0.0, 6.0), (-3.0, 1.0), (0.5, 2.0), (-2.0, -1.0), (0.0, 0.0)):
        scale, zero = quantization(np.float32(low), np.float32(high))
        assert scale > 0
        assert (np.float32(zero) - zero) * scale == 0
        assert -scale / 2 <= (0 - np.float32(zero)) * scale - min(low, 0.0) <= scale / 2


def test_old_operators_are_refused() -> None:
    with pytest.raises(ValueError, match="opset 12, expected at least 13"):
        quantize(network(opset=12), {})


def test_a_product_of_two_computed_tensors_is_refused() -> None:
    model = network()
    statistics = measure_layers(model, ["conv"], [BATCH])
    model.graph.node[2].input[1] = "conv"
    with pytest.raises(ValueError, match="MatMul product multiplies two computed tensors"):
        quantize(model, {"product": statistics["conv"]})
