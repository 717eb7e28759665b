"""Plans made with a real engine, and what runs by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

from ocrhpi.assembly import open_reader
from ocrhpi.config.candidate import Candidate
from ocrhpi.errors import OptionError
from ocrhpi.model.graph_facts import read_onnx_metadata
from ocrhpi.quantization.lower import make_plan
from ocrhpi.quantization.plan import find_plan
from ocrhpi.values import LineImage

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.model import Model
    from ocrhpi.quantization.plan import Lowered
    from ocrhpi.values import Pixels

openvino = pytest.importorskip("openvino")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def engines(precision: str) -> list[str]:
    return ["openvino"] if precision.startswith("bf16") else ["openvino", "onnxruntime"]


@pytest.mark.parametrize("precision", ["bf16-selective", "int8", "int8-selective"])
def test_a_plan_is_found_kept_and_run(tiny: Model, noise: list[Pixels], cache: Path, precision: Lowered) -> None:
    if precision.startswith("bf16") and "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no BF16")
    told: list[str] = []
    plan = make_plan(tiny, precision, noise, cache_dir=cache, advance=told.append)
    assert told[0] == "exporting"
    assert "all layers lowered" in told
    assert find_plan(tiny, precision, cache_dir=cache) == plan
    assert [layer.name for layer in plan.layers] == ["conv1", "conv2"]
    assert plan.steps[-1].kept == len(plan.kept) < 2
    assert plan.lines == len(noise)
    lines = [LineImage(pixels) for pixels in noise]
    for backend in engines(precision):
        candidate = Candidate(backend=backend, device="cpu", options={"precision": precision})
        with_plan = open_reader(tiny, candidate, cache_dir=cache)
        exact = open_reader(tiny, Candidate(backend=backend, device="cpu"), cache_dir=cache)
        try:
            assert with_plan.effective.precision == precision
            found, expected = with_plan.read(lines), exact.read(lines)
        finally:
            with_plan.close()
            exact.close()
        assert np.mean([one.text == other.text for one, other in zip(found, expected, strict=True)]) > 0.5
        np.testing.assert_allclose([one.score for one in found], [one.score for one in expected], atol=0.1)


def test_the_graphs_are_kept_beside_the_plan(tiny: Model, noise: list[Pixels], cache: Path) -> None:
    make_plan(tiny, "int8", noise, cache_dir=cache)
    candidate = Candidate(backend="onnxruntime", device="cpu", options={"precision": "int8"})
    open_reader(tiny, candidate, cache_dir=cache).close()
    graphs = sorted((cache / "precision").rglob("int8-*/*.onnx"))
    assert any(graph.name.startswith("outputs-") for graph in graphs)
    assert all(read_onnx_metadata(graph)["precision"] in str(graph.parent) for graph in graphs)
    assert all("QuantizeLinear" in {node.op_type for node in onnx.load(file).graph.node} for file in graphs)


def test_bf16_is_openvinos(tiny: Model, noise: list[Pixels]) -> None:
    with pytest.raises(OptionError, match="received 'onnxruntime'; 'bf16-selective' is OpenVINO's"):
        make_plan(tiny, "bf16-selective", noise, engine="onnxruntime")


def test_no_lines(tiny: Model) -> None:
    with pytest.raises(OptionError, match="expected at least one calibration line"):
        make_plan(tiny, "int8", [])
