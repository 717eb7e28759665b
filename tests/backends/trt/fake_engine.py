"""Runtime, engine, inspector and execution context of the fake TensorRT."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime

from tests.backends.trt.fake_builder import MAGIC
from tests.backends.trt.fake_network import TYPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.backends.trt.fake_cuda import FakeCuda

_MEMORY = 4096
_DTYPES = {"FLOAT": np.float32, "HALF": np.float16, "INT32": np.int32, "INT64": np.int64, "UINT8": np.uint8}


def add_engine(trt: Any, state: Any, number: tuple[int, ...], cuda: FakeCuda) -> None:  # noqa: C901 - see add_builder
    class EngineInspector:
        def __init__(self, plan: dict[str, Any]) -> None:
            self._plan = plan

        def get_engine_information(self, format: Any) -> str:  # noqa: A002 - the real name
            assert format == trt.LayerInformationFormat.JSON
            return json.dumps({"Layers": self._plan["layers"]})

    class IExecutionContext:
        def __init__(self, engine: Any) -> None:
            self._engine = engine
            self._profile: dict[str, Any] = {}
            self._memory = 0
            self._shapes: dict[str, tuple[int, ...]] = {}
            self._addresses: dict[str, int] = {}
            state.contexts.append(self)

        def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
            assert stream_handle in cuda.streams
            if not self._engine._plan["sharing"] and profile_index in self._engine._used:
                return self._refuse(f"Profile {profile_index} has been chosen by another IExecutionContext")
            self._engine._used.add(profile_index)
            self._profile = self._engine._plan["profiles"][profile_index]
            return True

        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            least, _, most = self._profile[name]
            if any(not low <= length <= high for low, length, high in zip(least, shape, most, strict=True)):
                return self._refuse(f"Set dimension {shape} of {name} does not satisfy the optimization profile")
            self._shapes[name] = tuple(shape)
            return True

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            shape: tuple[int, ...] = self._engine._output_shape(name, self._shapes)
            return shape

        def set_tensor_address(self, name: str, memory: int) -> bool:
            self._addresses[name] = memory
            return memory in cuda.memory

        def execute_async_v3(self, stream_handle: int) -> bool:
            if state.run_error:
                return self._refuse(state.run_error)
            cuda.at(self._memory, _MEMORY)
            cuda.put_on(cuda.streams[stream_handle], self._work(dict(self._shapes)))
            return True

        def _work(self, shapes: dict[str, tuple[int, ...]]) -> Callable[[], None]:
            def run() -> None:
                inputs = {name: self._on_gpu(name, shape) for name, shape in shapes.items()}
                for name, array in zip(self._engine._outputs, self._engine._session.run(None, inputs), strict=True):
                    np.copyto(self._on_gpu(name, array.shape), array, casting="same_kind")

            return run

        def _on_gpu(self, name: str, shape: tuple[int, ...]) -> Any:
            dtype = self._engine._types[name]
            size = int(np.prod(shape)) * dtype.itemsize
            return cuda.at(self._addresses[name], size).view(dtype).reshape(shape)

        def _refuse(self, reason: str) -> bool:
            self._engine._logger.log(trt.ILogger.ERROR, reason)
            return False

        def _take_memory(self, memory: int, size: int = _MEMORY) -> None:
            assert size >= _MEMORY
            self._memory = memory

    context: Any = IExecutionContext
    context.device_memory = property(fset=IExecutionContext._take_memory)
    if number > (10, 0):
        context.set_device_memory = IExecutionContext._take_memory

    class ICudaEngine:
        num_io_tensors: int

        def __init__(self, plan: dict[str, Any], model: bytes, logger: Any) -> None:
            self._plan, self._logger = plan, logger
            self._used: set[int] = set()
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            options.log_severity_level = 4
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            graph = onnx.load_from_string(model).graph
            self._inputs, self._outputs = ([value.name for value in side] for side in (graph.input, graph.output))
            sides = (*graph.input, *graph.output)
            kinds = {value.name: TYPES[value.type.tensor_type.elem_type] for value in sides}
            # What has no type in this version (INT64 before 10) becomes INT32.
            self._kinds = {name: kind if kind in trt.DataType.__members__ else "INT32" for name, kind in kinds.items()}
            self._types = {name: np.dtype(_DTYPES[kind]) for name, kind in self._kinds.items()}
            self.num_io_tensors = len(sides)

        def get_tensor_name(self, index: int) -> str:
            # TensorRT promises no order of the inputs.
            names: list[str] = [*reversed(self._inputs), *self._outputs]
            return names[index]

        def get_tensor_mode(self, name: str) -> Any:
            return trt.TensorIOMode.INPUT if name in self._inputs else trt.TensorIOMode.OUTPUT

        def get_tensor_location(self, name: str) -> Any:
            assert name in self._types
            return trt.TensorLocation.DEVICE

        def get_tensor_dtype(self, name: str) -> Any:
            return trt.DataType[self._kinds[name]]

        def create_engine_inspector(self) -> EngineInspector:
            return EngineInspector(self._plan)

        def _output_shape(self, name: str, shapes: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
            inputs = {name: np.ones(shapes[name], self._types[name]) for name in self._inputs}
            (output,) = self._session.run([name], inputs)
            return tuple(output.shape)

    engine: Any = ICudaEngine
    if number < (11, 0):
        engine.device_memory_size = _MEMORY

        def create_execution_context_without_device_memory(self: Any) -> IExecutionContext:
            return IExecutionContext(self)

        engine.create_execution_context_without_device_memory = create_execution_context_without_device_memory
    if number > (10, 0):
        engine.device_memory_size_v2 = _MEMORY
    if number >= (10, 0):

        def create_execution_context(self: Any, strategy: Any) -> IExecutionContext:
            assert strategy.name == "USER_MANAGED"
            return IExecutionContext(self)

        engine.create_execution_context = create_execution_context

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self._logger = logger

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
            cuda.need_context()
            if not serialized_engine.startswith(MAGIC):
                self._logger.log(trt.ILogger.ERROR, "Serialization assertion magicTagRead == kMAGIC_TAG failed")
                return None
            header, _, model = serialized_engine[len(MAGIC) :].partition(b"\n")
            plan = json.loads(header)
            if plan["version"] != trt.__version__:
                self._logger.log(trt.ILogger.ERROR, "The engine plan file is not compatible with this version")
                return None
            return ICudaEngine(plan, model, self._logger)

    for kind in (EngineInspector, IExecutionContext, ICudaEngine, Runtime):
        setattr(trt, kind.__name__, kind)
