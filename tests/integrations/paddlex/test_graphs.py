from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ocrhpi.errors import BackendError
from ocrhpi.integrations.paddlex.graphs import GRAPH_ENGINES, open_graph
from tests.processes.forking import forked

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.parametrize("name", GRAPH_ENGINES)


@pytest.fixture
def difference(tmp_path: Path) -> Path:
    """A graph of two inputs and two outputs: b - a, and the shape of a."""
    nodes = [helper.make_node("Sub", ["b", "a"], ["gap"]), helper.make_node("Shape", ["a"], ["shape"])]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", "M"]) for name in ("b", "a")]
    outputs = [
        helper.make_tensor_value_info("gap", TensorProto.FLOAT, ["N", "M"]),
        helper.make_tensor_value_info("shape", TensorProto.INT64, [2]),
    ]
    graph = helper.make_graph(nodes, "difference", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "difference.onnx"
    onnx.save(model, path)
    return path


def test_inputs_come_in_the_order_of_their_names(name: str, difference: Path) -> None:
    engine = open_graph(name, difference, 1)
    a, b = np.ones((2, 3), np.float32), np.full((2, 3), 5, np.float32)
    gap, shape = engine.run([a, b])
    assert (gap == 4).all()
    assert list(shape) == [2, 3]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # Python 3.12 advises against it
def test_a_forked_child_loads_the_graph_anew(name: str, difference: Path) -> None:
    engine = open_graph(name, difference, 2)
    arrays = [np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)]

    def same() -> bool:
        return bool((engine.run(arrays)[0] == 1).all())

    assert same()
    assert forked(same) == 0
    assert same()


def test_outputs_are_the_callers(name: str, difference: Path) -> None:
    engine = open_graph(name, difference, 1)
    zeros, ones = np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)
    first = engine.run([zeros, ones])[0]
    engine.run([ones, zeros])
    assert (first == 1).all()


def test_arrays_that_are_not_contiguous_are_taken(name: str, difference: Path) -> None:
    a = np.arange(6, dtype=np.float32).reshape(3, 2).T
    assert (open_graph(name, difference, 1).run([a, a])[0] == 0).all()


def test_faults_are_ours(name: str, difference: Path, tmp_path: Path) -> None:
    engine = open_graph(name, difference, 1)
    with pytest.raises(BackendError, match=r"received 1 inputs; the graph takes a, b"):
        engine.run([np.zeros((1, 1), np.float32)])
    with pytest.raises(BackendError, match="could not run"):
        engine.run([np.zeros((2, 2, 2), np.float32)] * 2)
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(difference.read_bytes()[:40])
    with pytest.raises(BackendError, match=r"could not load .*damaged\.onnx"):
        open_graph(name, damaged, 1)
