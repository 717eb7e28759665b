"""Inputs and outputs of one fixed shape, at addresses that never change, as recorded CUDA graphs need them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ocrhpi.backends.ort.driver import PageLocked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from ocrhpi.backends.ort.names import OnnxRuntime, OrtValue, RunOptions, Session

DEVICE_TYPES = {"cpu": "cpu", "gpu": "cuda"}
"""Kind of a device -> ONNX Runtime's name for its memory."""


class FixedBuffers:
    """Buffers on the device, bound to a session.

    Args:
        onnxruntime: The module.
        session: Reads and writes them.
        inputs: Name -> an array of the shape and dtype.
        outputs: The same of the outputs.
        device: (ONNX Runtime's name of the memory, number of the device).
        pinned: Whether inputs take the way over page-locked memory.
    """

    def __init__(
        self,
        onnxruntime: OnnxRuntime,
        session: Session,
        inputs: Mapping[str, npt.NDArray[Any]],
        outputs: Mapping[str, npt.NDArray[Any]],
        device: tuple[str, int],
        *,
        pinned: bool = False,
    ) -> None:
        self._session = session
        self._staging = PageLocked(device[1], list(inputs.values())) if pinned else None
        self._binding = session.io_binding()
        self._inputs = [_on_device(onnxruntime, session, array, device) for array in inputs.values()]
        self._outputs = [_on_device(onnxruntime, session, array, device) for array in outputs.values()]
        for name, value in zip(inputs, self._inputs, strict=True):
            self._binding.bind_ortvalue_input(name, value)
        for name, value in zip(outputs, self._outputs, strict=True):
            self._binding.bind_ortvalue_output(name, value)

    def fill(self, arrays: Sequence[npt.NDArray[Any]]) -> None:
        """Copy the inputs in, in the order in which they were given; return when they are there."""
        if self._staging is not None:
            for staged, array in zip(self._staging.arrays, arrays, strict=True):
                np.copyto(staged, array)
            arrays = self._staging.arrays
        for value, array in zip(self._inputs, arrays, strict=True):
            value.update_inplace(array)

    def run(self, run_options: RunOptions) -> None:
        """Run the session on what is there."""
        self._session.run_with_iobinding(self._binding, run_options)

    def read(self) -> list[npt.NDArray[Any]]:
        """Copy the outputs out, in the order in which they were given."""
        return [value.numpy() for value in self._outputs]

    def close(self) -> None:
        """Unlock what was locked; the rest goes with the object."""
        if self._staging is not None:
            self._staging.close()


def _on_device(onnxruntime: OnnxRuntime, session: Session, like: npt.NDArray[Any], device: tuple[str, int]) -> OrtValue:
    memory, index = device
    shape, dtype = list(like.shape), like.dtype.type
    if hasattr(session, "create_ortvalue_from_shape_and_type"):  # by the session's own allocator, from 1.31 on
        return session.create_ortvalue_from_shape_and_type(shape, dtype, memory, index)
    return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype, memory, index)
