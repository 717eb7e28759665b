"""Execution contexts: one for each profile, and one for each captured shape, in shared activation memory."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ocrhpi.backends.trt.log import shared_log
from ocrhpi.backends.trt.names import NAME
from ocrhpi.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from ocrhpi.backends.trt.memory import DeviceBlock
    from ocrhpi.backends.trt.names import Engine, Stream, TensorRt

_INPUT_ORDER = {"contents": 1, "widths": 2}  # the batch itself has other names

# By name, since tensorrt.nptype of 8.5 fails with NumPy 1.24 and newer, and other versions lack some types.
_TYPES: Final[Mapping[str, npt.DTypeLike]] = MappingProxyType(
    {
        "FLOAT": np.float32,
        "HALF": np.float16,
        "INT32": np.int32,
        "INT64": np.int64,
        "UINT8": np.uint8,
    }
)


@dataclass(frozen=True)
class EngineTensors:
    """What an engine takes and gives: name -> type, inputs in the order of `ocrhpi.backends.onnx_io`."""

    inputs: Mapping[str, np.dtype[Any]]
    outputs: Mapping[str, np.dtype[Any]]

    @classmethod
    def read(cls, trt: TensorRt, engine: Engine) -> EngineTensors:
        """Ask the engine.

        Raises:
            BackendError: A tensor lives in the host's memory, as those do that decide shapes.
        """
        names = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
        for name in names:
            if engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:
                raise BackendError(NAME, f"the tensor {name!r} decides shapes, which the exporter's graphs never do")
        types = {name: np.dtype(_TYPES[engine.get_tensor_dtype(name).name]) for name in names}
        modes = {name: engine.get_tensor_mode(name) for name in names}
        inputs = sorted(
            (name for name in names if modes[name] == trt.TensorIOMode.INPUT),
            key=lambda name: _INPUT_ORDER.get(name, 0),
        )
        outputs = [name for name in names if modes[name] == trt.TensorIOMode.OUTPUT]
        return cls({name: types[name] for name in inputs}, {name: types[name] for name in outputs})


def activation_size(engine: Engine) -> int:
    """Return how many bytes an execution context computes in, whichever profile it uses."""
    name = "device_memory_size_v2" if hasattr(engine, "device_memory_size_v2") else "device_memory_size"
    return int(getattr(engine, name))


class Executor:
    """An execution context that stays with one profile.

    Executors of one request never run at the same time, so they share their activation memory. Changing the profile of
    one context instead would set it up anew at each change, and undo its CUDA graphs.

    Args:
        trt: The module ``tensorrt``.
        engine: The engine.
        profile: Number of the profile.
        activation: Memory of `activation_size`.
        stream: Where it runs.

    Raises:
        BackendError: TensorRT cannot make it.
    """

    def __init__(self, trt: TensorRt, engine: Engine, profile: int, activation: DeviceBlock, stream: Stream) -> None:
        self._log = shared_log(trt)
        self._stream = stream
        self._shapes: dict[str, tuple[int, ...]] = {}
        mark = self._log.mark()
        self._context = _context_without_memory(trt, engine)
        if self._context is None:
            raise BackendError(NAME, f"TensorRT makes no execution context: {self._log.errors_since(mark)}")
        if hasattr(self._context, "set_device_memory"):
            self._context.set_device_memory(activation.address, activation.size)
        else:
            self._context.device_memory = activation.address
        if not self._context.set_optimization_profile_async(profile, stream.handle):
            raise BackendError(NAME, f"TensorRT does not switch to profile {profile}: {self._log.errors_since(mark)}")
        stream.synchronize()

    def bind(self, addresses: Mapping[str, int]) -> None:
        """Say where on the GPU the tensors are, by name."""
        for name, address in addresses.items():
            if not self._context.set_tensor_address(name, address):
                raise BackendError(NAME, f"TensorRT does not take the memory of {name!r}")

    def set_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Set the shapes of the inputs, by name.

        Raises:
            BackendError: The profile has no such shapes.
        """
        mark = self._log.mark()
        for name, shape in shapes.items():
            if self._shapes.get(name) == shape:
                continue
            if not self._context.set_input_shape(name, shape):
                self._shapes.pop(name, None)
                raise BackendError(NAME, f"TensorRT refuses {name!r} of {shape}: {self._log.errors_since(mark)}")
            self._shapes[name] = shape

    def output_shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an output for the inputs' present shapes.

        Raises:
            BackendError: It depends on the data.
        """
        shape = tuple(int(length) for length in self._context.get_tensor_shape(name))
        if min(shape, default=0) < 0:
            raise BackendError(NAME, f"the shape of the output {name!r}, {shape}, depends on the data")
        return shape

    def enqueue(self) -> None:
        """Start the kernels, asynchronously.

        Raises:
            BackendError: TensorRT refuses; the text has its own errors.
        """
        mark = self._log.mark()
        if not self._context.execute_async_v3(self._stream.handle):
            raise BackendError(NAME, f"TensorRT does not run {self._shapes}: {self._log.errors_since(mark)}")


def _context_without_memory(trt: TensorRt, engine: Engine) -> Any:  # noqa: ANN401 - TensorRT is untyped
    strategies = getattr(trt, "ExecutionContextAllocationStrategy", None)  # from TensorRT 10 on
    if strategies is None:
        return engine.create_execution_context_without_device_memory()
    return engine.create_execution_context(strategies.USER_MANAGED)
