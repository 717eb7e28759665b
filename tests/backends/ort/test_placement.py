"""Which provider runs which node, and what is no longer the GPU that was asked for."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from ocrhpi.backends.ort.options import CUDA
from ocrhpi.backends.ort.sessions import RECORDING, Placement, assigned_nodes, check_placement, profiled_nodes
from ocrhpi.engines.onnxruntime_ import CPU
from ocrhpi.errors import BackendMismatch
from tests.tiny_onnx import write_tiny_onnx

if TYPE_CHECKING:
    from pathlib import Path

onnxruntime = pytest.importorskip("onnxruntime")

SHAPES = Counter({"Shape": 3, "Gather": 3, "Concat": 1})


def test_onnx_runtime_records_every_node(tmp_path: Path) -> None:
    if not hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info"):
        pytest.skip("this ONNX Runtime records no assignment")
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(RECORDING, "1")
    file = write_tiny_onnx(tmp_path / "m.onnx", masked=True)
    session = onnxruntime.InferenceSession(str(file), options, providers=[CPU])
    placement = assigned_nodes(session)
    assert placement.keys() == {CPU}
    assert placement[CPU].items() >= {"Conv": 2, "Softmax": 1, "Where": 1}.items()


def test_older_versions_tell_by_the_profile_of_a_run(tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    file = write_tiny_onnx(tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(str(file), options, providers=[CPU])
    (name,) = (tensor.name for tensor in session.get_inputs())
    import numpy as np

    session.run(None, {name: np.zeros((1, 3, 48, 64), np.float32)})
    from pathlib import Path as RealPath

    placement = profiled_nodes(RealPath(session.end_profiling()))
    assert placement.keys() == {CPU}
    assert placement[CPU]["Softmax"] == 1
    assert sum(placement[CPU].values()) >= 4


RTX = "NvTensorRTRTXExecutionProvider"


@pytest.mark.parametrize(
    ("placement", "wanted"),
    [
        ({CUDA: Counter({"Conv": 30, "Softmax": 1}), CPU: SHAPES}, CUDA),
        ({CUDA: Counter({"Conv": 30})}, CUDA),
        ({RTX: Counter({"Conv": 30}), CUDA: Counter({"ArgMax": 1}), CPU: SHAPES}, RTX),
    ],
)
def test_shape_arithmetic_may_stay_on_the_cpu(placement: Placement, wanted: str) -> None:
    check_placement(placement, wanted, "device gpu:0")


@pytest.mark.parametrize(
    ("placement", "wanted", "problem"),
    [
        ({CUDA: Counter({"Conv": 29}), CPU: SHAPES + Counter({"Conv": 1})}, CUDA, "1 Conv on CPUExecutionProvider"),
        ({CUDA: Counter({"Conv": 29}), CPU: Counter({"HardSigmoid": 4})}, CUDA, "4 HardSigmoid on CPU"),
        ({CPU: Counter({"MatMul": 2, "Conv": 3})}, CUDA, "3 Conv on CPUExecutionProvider, 2 MatMul on CPU"),
        ({RTX: Counter({"Conv": 29}), CUDA: Counter({"MatMul": 1})}, RTX, "1 MatMul on CUDA"),
        ({CPU: SHAPES}, CUDA, "gave no node to CUDAExecutionProvider"),
        ({}, CUDA, "gave no node"),
    ],
)
def test_a_network_that_runs_elsewhere_is_a_mismatch(placement: Placement, wanted: str, problem: str) -> None:
    with pytest.raises(BackendMismatch, match="asked for device gpu:1, but ONNX Runtime") as error:
        check_placement(placement, wanted, "device gpu:1")
    assert problem in str(error.value)
