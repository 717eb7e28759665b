"""A request: one batch in flight, with a stream, memory and execution contexts of its own.

And the profiles: which shapes an engine is built for, and which of them runs a batch.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ocrhpi.backends.trt.execution import CaptureFailed, Executor, activation_size, capture
from ocrhpi.backends.trt.gpu import DeviceBlock, TensorBuffer, size_in_bytes
from ocrhpi.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from ocrhpi.backends.trt.execution import CudaGraph, EngineTensors
    from ocrhpi.backends.trt.names import CudaDriver, CudaRuntime, Engine, TensorRt
    from ocrhpi.values import InputSpec

# Without shapes to prepare for: ranges of widths in pixels up to these, then up to the widest line.
_RANGE_ENDS = (320, 640, 1280)
_NARROWEST = 32
_COLUMNS = 8 * 320  # of the largest batch of a range


@dataclass(frozen=True)
class Profile:
    """Shapes that one set of kernels is chosen for; the largest one is what they are tuned at.

    Attributes:
        lines: Most lines of a batch; one is the least.
        narrowest: Least width in pixels.
        width: Greatest width in pixels; equal to ``narrowest`` for a bucket.
    """

    lines: int
    narrowest: int
    width: int

    def __str__(self) -> str:
        widths = str(self.width) if self.narrowest == self.width else f"{self.narrowest} to {self.width}"
        return f"1 to {self.lines} x {widths}"


@dataclass(frozen=True)
class Placement:
    """Where a batch runs.

    Attributes:
        number: Which profile.
        lines: Most lines that run at a time.
        width: Width in pixels that the batch is padded to.
    """

    number: int
    lines: int
    width: int


def plan_profiles(shapes: Sequence[tuple[int, int]], spec: InputSpec) -> tuple[Profile, ...]:
    """Return the profiles, from narrow to wide.

    Args:
        shapes: (lines, width) of the largest batch of each width bucket. Empty: any width is to run, in ranges.
        spec: How the model's lines become input.
    """
    if shapes:
        most: dict[int, int] = {}
        for lines, width in shapes:
            most[width] = max(lines, most.get(width, 0))
        return tuple(Profile(most[width], width, width) for width in sorted(most))
    if spec.stretch_width:
        return (Profile(_lines(spec.stretch_width), spec.stretch_width, spec.stretch_width),)
    ends = [*(end for end in _RANGE_ENDS if end < spec.max_width), spec.max_width]
    starts = [_NARROWEST, *(end + 1 for end in ends)]
    return tuple(Profile(_lines(end), start, end) for start, end in zip(starts, ends, strict=False))


def _lines(width: int) -> int:
    return max(1, _COLUMNS // width)


def place(width: int, profiles: Sequence[Profile], *, may_pad: bool) -> Placement | None:
    """Return where a batch of ``width`` runs; None if no profile takes it.

    Args:
        width: Width of the batch in pixels.
        profiles: From narrow to wide.
        may_pad: Whether columns may be added: in a width-masked graph they have no effect, in others they change text.
    """
    for number, profile in enumerate(profiles):
        if width <= profile.width:
            padded = max(width, profile.narrowest)
            return Placement(number, profile.lines, padded) if may_pad or padded == width else None
    return None


def input_shape(name: str, lines: int, width: int, height: int) -> tuple[int, ...]:
    """Return the shape of the input ``name`` of an exported graph, see `ocrhpi.backends.onnx_io`."""
    if name in {"contents", "widths"}:
        return (lines,)
    return (lines, height, width, 3) if name == "pixels" else (lines, 3, height, width)


MAX_GRAPHS = 64
"""CUDA graphs of one request; each has an execution context, and shapes beyond are launched kernel by kernel."""


@dataclass(frozen=True)
class EnginePlan:
    """An engine and all that requests need to know of it.

    Attributes:
        trt: The module ``tensorrt``.
        cuda: The module ``pycuda.driver``.
        cudart: The module ``cuda.bindings.runtime``, to capture CUDA graphs with; None: none are captured.
        engine: The engine.
        tensors: What it takes and gives.
        profiles: Its profiles.
        height: Height in pixels of the lines.
    """

    trt: TensorRt
    cuda: CudaDriver
    cudart: CudaRuntime | None
    engine: Engine
    tensors: EngineTensors
    profiles: tuple[Profile, ...]
    height: int

    def input_shapes(self, lines: int, width: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the inputs of such a batch."""
        return {name: input_shape(name, lines, width, self.height) for name in self.tensors.inputs}


@dataclass
class _Captured:
    """A shape whose graph was captured, and what the graph needs while it lives."""

    graph: CudaGraph
    executor: Executor
    outputs: dict[str, tuple[int, ...]]


class Request:
    """One batch in flight; not for two threads at a time. The GPU's context is current in all methods.

    Args:
        plan: The engine.
        on_capture_failure: Gets the reason if a shape cannot be captured, and is launched kernel by kernel.
    """

    def __init__(self, plan: EnginePlan, on_capture_failure: Callable[[str], None]) -> None:
        self._plan = plan
        self._on_capture_failure = on_capture_failure
        self._seen: set[tuple[int, int, int]] = set()
        self._captured: dict[tuple[int, int, int], _Captured | None] = {}
        with ExitStack() as made:
            self._stream = plan.cuda.Stream()
            self._activation = DeviceBlock(plan.cuda, activation_size(plan.engine))
            made.callback(self._activation.free)
            self._executors = [self._executor(number) for number in range(len(plan.profiles))]
            self._buffers: dict[str, TensorBuffer] = {}
            for name, (dtype, capacity) in self._capacities().items():
                self._buffers[name] = TensorBuffer(plan.cuda, dtype, capacity)
                made.callback(self._buffers[name].free)
            made.callback(self._drop_contexts)
            for executor in self._executors:
                executor.bind(self._addresses)
            self._made = made.pop_all()

    @property
    def activation_bytes(self) -> int:
        """Memory on the GPU that is computed in."""
        return self._activation.size

    def warm_up(self) -> None:
        """Run the largest batch of each profile, so that no later request loads kernels.

        Raises:
            CaptureFailed: CUDA graphs were asked for, and one cannot be captured.
        """
        for number, profile in enumerate(self._plan.profiles):
            shapes = self._plan.input_shapes(profile.lines, profile.width)
            columns = np.full(profile.lines, profile.width, np.int32)
            arrays = [
                columns if len(shape) == 1 else np.zeros(shape, self._plan.tensors.inputs[name])
                for name, shape in shapes.items()
            ]
            placement = Placement(number, profile.lines, profile.width)
            self.run(placement, arrays)
            if self._plan.cudart is not None:
                self._capture((number, profile.lines, profile.width))
                self.run(placement, arrays)

    def run(self, placement: Placement, arrays: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Run one batch.

        Args:
            placement: Which profile, and the width to pad to.
            arrays: The inputs in order, with no more lines than the profile has.

        Returns:
            The outputs in order, in memory that the next call overwrites.
        """
        lines = len(arrays[0])
        shapes = self._plan.input_shapes(lines, placement.width)
        for array, (name, shape) in zip(arrays, shapes.items(), strict=True):
            self._buffers[name].put(array, shape)
        key = (placement.number, lines, placement.width)
        captured = self._captured_or_new(key)
        if captured is not None:
            captured.graph.launch()
            outputs = captured.outputs
        else:
            outputs = self._issue(self._executors[placement.number], shapes)
        self._stream.synchronize()
        return [self._buffers[name].host(shape) for name, shape in outputs.items()]

    def device_ms(self, placement: Placement, calls: int) -> list[float]:
        """Time the kernels of one batch, without copies and without waiting for the host.

        Args:
            placement: Which profile, the width, and how many lines.
            calls: How many to time.

        Returns:
            Milliseconds of each, by the GPU's clock.
        """
        executor = self._executors[placement.number]
        executor.set_shapes(self._plan.input_shapes(placement.lines, placement.width))
        executor.enqueue()  # the first one after new shapes is slower
        times = []
        for _ in range(calls):
            start, end = self._plan.cuda.Event(), self._plan.cuda.Event()
            start.record(self._stream)
            executor.enqueue()
            end.record(self._stream)
            self._stream.synchronize()
            times.append(float(end.time_since(start)))
        return times

    def close(self) -> None:
        """Give everything back: graphs before the contexts that they were captured of, contexts before memory."""
        self._made.close()
        del self._stream

    @property
    def _addresses(self) -> dict[str, int]:
        return {name: buffer.address for name, buffer in self._buffers.items()}

    def _drop_contexts(self) -> None:
        graphs = [captured.graph for captured in self._captured.values() if captured is not None]
        self._stream.synchronize()
        for graph in graphs:
            graph.destroy()
        self._captured.clear()
        self._executors.clear()

    def _executor(self, profile: int) -> Executor:
        return Executor(self._plan.trt, self._plan.engine, profile, self._activation, self._stream)

    def _capacities(self) -> dict[str, tuple[np.dtype[Any], int]]:
        """Return type and greatest size in bytes, over all profiles, of each tensor."""
        tensors = self._plan.tensors
        sizes = dict.fromkeys([*tensors.inputs, *tensors.outputs], 0)
        types = {**tensors.inputs, **tensors.outputs}
        for executor, profile in zip(self._executors, self._plan.profiles, strict=True):
            shapes = self._plan.input_shapes(profile.lines, profile.width)
            executor.set_shapes(shapes)
            shapes |= {name: executor.output_shape(name) for name in tensors.outputs}
            sizes |= {name: max(sizes[name], size_in_bytes(shape, types[name])) for name, shape in shapes.items()}
        return {name: (types[name], size) for name, size in sizes.items()}

    def _issue(self, executor: Executor, shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Put the copies and kernels of one batch on the stream; return the shapes of the outputs."""
        executor.set_shapes(shapes)
        outputs = {name: executor.output_shape(name) for name in self._plan.tensors.outputs}
        for name, shape in shapes.items():
            self._buffers[name].upload(shape, self._stream)
        executor.enqueue()
        for name, shape in outputs.items():
            self._buffers[name].download(shape, self._stream)
        return outputs

    def _captured_or_new(self, key: tuple[int, int, int]) -> _Captured | None:
        """Return the graph of a shape, captured when the shape comes for the second time; None: launch its kernels."""
        if self._plan.cudart is None:
            return None
        if key in self._captured:
            return self._captured[key]
        if len(self._captured) >= MAX_GRAPHS:
            return None
        if key not in self._seen:
            self._seen.add(key)
            return None
        try:
            return self._capture(key)
        except (CaptureFailed, BackendError) as error:
            self._captured[key] = None
            self._on_capture_failure(f"a batch of {key[1]} x {key[2]} runs without a CUDA graph: {error}")
            return None

    def _capture(self, key: tuple[int, int, int]) -> _Captured:
        number, lines, width = key
        shapes = self._plan.input_shapes(lines, width)
        executor = self._executor(number)  # a graph is void once its context gets another shape
        executor.bind(self._addresses)
        outputs = self._issue(executor, shapes)  # what TensorRT puts off until a shape runs must not be captured
        self._stream.synchronize()
        graph = capture(self._plan.cudart, self._stream.handle, lambda: self._captured_work(executor, shapes))
        captured = self._captured[key] = _Captured(graph, executor, outputs)
        return captured

    def _captured_work(self, executor: Executor, shapes: dict[str, tuple[int, ...]]) -> None:
        self._issue(executor, shapes)
