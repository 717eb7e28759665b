"""Which nodes are layers, how much of the work each has, and which tensors stay in FP32 with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest

from ocrhpi.quantization.quantize import find_layers, kept_tensors

if TYPE_CHECKING:
    from ocrhpi.model import Model


@pytest.fixture(scope="module")
def graph(tiny: Model) -> onnx.ModelProto:
    assert tiny.files.onnx is not None
    return onnx.load(tiny.files.onnx)


def test_layers_and_their_share_of_the_work(graph: onnx.ModelProto) -> None:
    first, second = find_layers(graph)
    assert (first.name, first.operator, first.weighted) == ("conv1", "Conv", True)
    assert second.name == "conv2"
    assert first.work + second.work == pytest.approx(1)
    assert first.work / second.work == pytest.approx(3 * 48 * 8 * 8 / (8 * 28))  # weights, as both have one size


def test_an_activation_stays_in_fp32_with_its_layer_only_if_a_kept_layer_reads_it(graph: onnx.ModelProto) -> None:
    assert kept_tensors(graph, {"conv1"}) == ["conv1"]
    assert kept_tensors(graph, {"conv1", "conv2"})[:3] == ["conv1", "relu", "conv2"]
    assert "probabilities" in kept_tensors(graph, {"conv2"})
    assert kept_tensors(graph, ()) == []
