"""The network and parser of the fake TensorRT: the layers are the nodes of the ONNX graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

TYPES = {
    onnx.TensorProto.FLOAT: "FLOAT",
    onnx.TensorProto.FLOAT16: "HALF",
    onnx.TensorProto.INT32: "INT32",
    onnx.TensorProto.INT64: "INT64",
    onnx.TensorProto.UINT8: "UINT8",
    onnx.TensorProto.BOOL: "BOOL",
}
_LAYERS = {"Conv": "CONVOLUTION", "Constant": "CONSTANT", "Shape": "SHAPE"}


def add_network(trt: Any, number: tuple[int, ...]) -> None:  # noqa: C901 - see add_builder
    class ITensor:
        name: str
        dtype: Any
        is_shape_tensor = False

        def __init__(self, name: str, dtype: Any) -> None:
            self.name, self.dtype = name, dtype

    class ILayer:
        name: str
        type: Any
        num_inputs: int
        num_outputs: int

        def __init__(self, node: onnx.NodeProto, tensors: dict[str, ITensor]) -> None:
            cast = "CAST" if number >= (8, 6) else "IDENTITY"
            self.name = node.name or node.output[0]
            self.type = trt.LayerType[cast if node.op_type == "Cast" else _LAYERS.get(node.op_type, "ACTIVATION")]
            self._inputs = [tensors[name] for name in node.input if name in tensors]
            self._outputs = [tensors[name] for name in node.output]
            self.num_inputs, self.num_outputs = len(self._inputs), len(self._outputs)
            self._types: dict[int, Any] = {}

        def get_input(self, index: int) -> ITensor:
            return self._inputs[index]

        def get_output(self, index: int) -> ITensor:
            return self._outputs[index]

    if number < (11, 0):
        weakly: Any = ILayer
        weakly.precision = None
        weakly.set_output_type = lambda self, index, dtype: self._types.update({index: dtype})

    class INetworkDefinition:
        def __init__(self, flags: int) -> None:
            self._flags = {flag.name for flag in trt.NetworkDefinitionCreationFlag if flags >> int(flag) & 1}
            assert ("EXPLICIT_BATCH" in self._flags) == (number < (10, 0))
            self._model = onnx.ModelProto()
            self._layers: list[ILayer] = []
            self._inputs: list[ITensor] = []

        @property
        def num_inputs(self) -> int:
            return len(self._inputs)

        def get_input(self, index: int) -> ITensor:
            return self._inputs[index]

        @property
        def num_layers(self) -> int:
            return len(self._layers)

        def get_layer(self, index: int) -> ILayer:
            return self._layers[index]

        def _fill(self, model: onnx.ModelProto) -> None:
            graph = onnx.shape_inference.infer_shapes(model).graph
            types = {
                value.name: TYPES[value.type.tensor_type.elem_type]
                for value in (*graph.input, *graph.value_info, *graph.output)
            }
            tensors = {
                name: ITensor(name, trt.DataType[kind if kind in trt.DataType.__members__ else "INT32"])
                for name, kind in types.items()
            }
            self._model = model
            self._inputs = [tensors[value.name] for value in graph.input]
            self._layers = [ILayer(node, tensors) for node in graph.node]

    class ParserError:
        def __init__(self, description: str) -> None:
            self._description = description

        def desc(self) -> str:
            return self._description

        def node(self) -> int:
            return 7

        def func(self) -> str:
            return "importNode"

    class OnnxParser:
        def __init__(self, network: INetworkDefinition, logger: Any) -> None:
            self._network, self._logger = network, logger
            self._errors: list[ParserError] = []

        def parse_from_file(self, model: str) -> bool:
            try:
                network = onnx.load_from_string(Path(model).read_bytes())
            except Exception as error:  # noqa: BLE001 - protobuf's own
                return self._fail(type(error).__name__, "Failed to parse ONNX model")
            if _feeds_bytes_to_others_than_casts(network):
                return self._fail("legalUINT8", "UINT8 inputs must directly feed into a cast layer")
            self._network._fill(network)
            return True

        def _fail(self, logged: str, description: str) -> bool:
            self._logger.log(trt.ILogger.ERROR, logged)
            self._errors.append(ParserError(description))
            return False

        @property
        def num_errors(self) -> int:
            return len(self._errors)

        def get_error(self, index: int) -> ParserError:
            return self._errors[index]

    for kind in (ITensor, ILayer, INetworkDefinition, ParserError, OnnxParser):
        setattr(trt, kind.__name__, kind)


def _feeds_bytes_to_others_than_casts(model: onnx.ModelProto) -> bool:
    """Tell of what TensorRT 8.5 to 11 refuse, see its issue 3985."""
    graph = model.graph
    inputs = {value.name for value in graph.input if TYPES.get(value.type.tensor_type.elem_type) == "UINT8"}
    return any(node.op_type != "Cast" for node in graph.node if inputs & set(node.input))
