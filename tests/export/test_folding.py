"""Scales and shifts behind convolutions, folded: the same result from fewer nodes."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ocrhpi.export.passes import fold_scales

BATCH = np.random.default_rng(1).uniform(-1, 1, (2, 3, 8, 16)).astype(np.float32)


def network(*followers: tuple[str, tuple[int, ...]], outputs: tuple[str, ...] = ()) -> onnx.ModelProto:
    """A convolution of four channels, followed by operators with a constant of some shape."""
    rng = np.random.default_rng(0)
    weights = {"weight": rng.normal(0, 1, (4, 3, 3, 3)).astype(np.float32)}
    nodes = [helper.make_node("Conv", ["x", "weight"], ["conv"])]
    last = "conv"
    for number, (operator, shape) in enumerate(followers):
        weights[f"c{number}"] = np.asarray(rng.normal(1, 1, shape), np.float32)
        nodes.append(helper.make_node(operator, [last, f"c{number}"], [f"t{number}"]))
        last = f"t{number}"
    nodes.append(helper.make_node("Relu", [last], ["y"]))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 16])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4, 6, 14]) for name in ("y", *outputs)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def check(model: onnx.ModelProto, operators: list[str]) -> None:
    """Fold, and compare the result and the operators left."""
    folded = fold_scales(copy.deepcopy(model))
    onnx.checker.check_model(folded, full_check=True)
    assert [node.op_type for node in folded.graph.node] == operators
    expected, got = (
        onnxruntime.InferenceSession(each.SerializeToString(), providers=["CPUExecutionProvider"]).run(
            None, {"x": BATCH}
        )[0]
        for each in (model, folded)
    )
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(), (1,), (4, 1, 1), (1, 4, 1, 1)], ids=str)
def test_a_scale_and_a_shift_are_folded(shape: tuple[int, ...]) -> None:
    check(network(("Mul", shape), ("Add", shape)), ["Conv", "Relu"])


@pytest.mark.parametrize(("operator", "shape"), [("Sub", (1,)), ("Mul", (6, 1)), ("Add", (14,)), ("Add", (1, 4, 6, 1))])
def test_what_is_not_one_number_a_channel_stays(operator: str, shape: tuple[int, ...]) -> None:
    check(network((operator, shape)), ["Conv", operator, "Relu"])


def test_a_result_that_is_read_twice_stays() -> None:
    check(network(("Mul", (1,)), outputs=("conv",)), ["Conv", "Mul", "Relu"])
