from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi.backends.trt.precisions import constrain_precisions
from tests.backends.trt.tiny_graphs import half_model
from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.model import Model


def parse(trt: Any, model: Model) -> Any:
    network = trt.INetworkDefinition(1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH))
    assert trt.OnnxParser(network, None).parse_from_file(str(model.files.onnx))
    return network


def precisions(network: Any) -> dict[str, str | None]:
    layers = [network.get_layer(number) for number in range(network.num_layers)]
    return {layer.get_output(0).name: getattr(layer.precision, "name", None) for layer in layers}


@pytest.mark.parametrize("version", ["8.5.3.1", "8.6.1"], indirect=True)
@pytest.mark.parametrize("masked", [False, True])
def test_layers_get_the_precision_that_they_have_in_the_graph(trt: Any, tmp_path: Path, masked: bool) -> None:
    network = parse(trt, half_model(tmp_path, masked=masked))
    constrain_precisions(trt, network)
    found = precisions(network)
    assert {name for name, precision in found.items() if precision == "HALF"} == {"conv1", "relu", "conv2"}
    assert found["softmax"] == found["probs"] == "FLOAT"
    assert found["half"] is found["full"] is None  # the casts between them
    assert found["indices"] is None  # integers


@pytest.mark.parametrize("version", ["8.6.1"], indirect=True)
def test_outputs_are_typed_with_their_layer(trt: Any, tmp_path: Path) -> None:
    network = parse(trt, half_model(tmp_path))
    constrain_precisions(trt, network)
    layers = {layer.get_output(0).name: layer for layer in map(network.get_layer, range(network.num_layers))}
    assert layers["conv1"]._types == {0: trt.DataType.HALF}
    assert layers["softmax"]._types == {0: trt.DataType.FLOAT}
    assert layers["indices64"]._types == {}


@pytest.mark.parametrize("version", ["8.6.1"], indirect=True)
def test_a_plain_graph_stays_in_fp32(trt: Any, tmp_path: Path) -> None:
    network = parse(trt, tiny_onnx_model(tmp_path, head="argmax", masked=True))
    constrain_precisions(trt, network)
    assert set(precisions(network).values()) == {"FLOAT", None}
