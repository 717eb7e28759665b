"""The tiny network in two more of the exporter's forms: with convolutions in FP16, and with pixels as its input."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ocrhpi.export.heads import take_pixels
from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.model import Model

_HALVES = ("weight1", "weight2", "bias2")


def half_model(directory: Path, *, masked: bool = False) -> Model:
    """Write the network, FP32 in and out, as a model directory and read it."""
    model = tiny_onnx_model(directory, head="argmax", masked=masked)
    assert model.files.onnx is not None
    file = directory / "argmax-fp16.onnx"
    onnx.save(_halved(onnx.load(model.files.onnx)), file)
    return replace(model, files=replace(model.files, onnx=file))


def pixel_model(directory: Path, *, masked: bool = False) -> Model:
    """Write the network with the input ``pixels`` as a model directory and read it."""
    model = tiny_onnx_model(directory, head="argmax", masked=masked)
    assert model.files.onnx is not None
    graph = take_pixels(onnx.load(model.files.onnx))
    onnx.checker.check_model(graph)
    file = directory / "argmax-pixels.onnx"
    onnx.save(graph, file)
    return replace(model, files=replace(model.files, onnx=file))


def _halved(model: onnx.ModelProto) -> onnx.ModelProto:
    graph = model.graph
    for tensor in graph.initializer:
        if tensor.name in _HALVES:
            array = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    nodes = []
    for node in graph.node:
        if node.output[0] == "conv1":
            nodes.append(helper.make_node("Cast", ["seen"], ["half"], to=TensorProto.FLOAT16))
            node.input[0] = "half"
        if list(node.input)[:1] == ["conv2"]:
            nodes.append(helper.make_node("Cast", ["conv2"], ["full"], to=TensorProto.FLOAT))
            node.input[0] = "full"
        nodes.append(node)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    entry = model.metadata_props.add()
    entry.key, entry.value = "precision", "fp16"
    onnx.checker.check_model(model)
    return model
