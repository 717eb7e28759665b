"""How a session is run: with batches as they come, or on fixed shapes by recorded CUDA graphs, in buffers that stay."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from ocrhpi.backends.ort.libraries import PageLocked
from ocrhpi.backends.ort.options import NAME, fixed_shapes, profiles_of, run_entries
from ocrhpi.errors import BatchError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from ocrhpi.backends.ort.options import OnnxRuntime, OrtValue, RunOptions, Session
    from ocrhpi.backends.ort.sessions import Opened, Request

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


class SessionRunner:
    """Runs batches of any shape that the provider was built for.

    Args:
        request: What was asked for.
        opened: The session.
    """

    def __init__(self, request: Request, opened: Opened) -> None:
        self._request = request
        self._opened = opened
        self._profiles = profiles_of(request.provider, request.options.shapes)
        self._session = opened.session
        self._graphs = request.options.cuda_graphs and request.provider != "cpu"
        self._outputs = [tensor.name for tensor in opened.session.get_outputs()]

    def run(self, arrays: Sequence[npt.NDArray[Any]]) -> Sequence[npt.NDArray[Any]]:
        """Run one batch.

        Args:
            arrays: The inputs, in the order of the graph.

        Returns:
            The outputs, in the order of the graph.

        Raises:
            BatchError: The engine was built for other shapes.
        """
        inputs = self._opened.inputs
        run_options = self._run_options(inputs.shape_of(arrays[0]), None)
        return self._session.run(self._outputs, dict(zip(inputs.names, arrays, strict=True)), run_options)  # type: ignore[no-any-return]

    def warm_up(self, seconds: float) -> list[tuple[int, int]]:
        """Run every fixed shape once, so that kernels are chosen before the first request.

        Without fixed shapes it is one line of the base width: what loads may fail to run, say without cuDNN.

        Args:
            seconds: No further shape is begun after so many; one is run at any rate.

        Returns:
            (rows, width) of those not reached.
        """
        spec = self._request.model.spec
        shapes = fixed_shapes(self._request.options.shapes) or [(1, spec.stretch_width or spec.base_width)]
        end = time.monotonic() + seconds
        for number, shape in enumerate(shapes):
            if number and time.monotonic() >= end:
                return shapes[number:]
            self.run(self._opened.inputs.sample(*shape))
        return []

    def device_ms(self, rows: int, width: int, calls: int) -> list[float]:
        """Time runs whose inputs and outputs stay on the device: what is left without the copies.

        Args:
            rows: Lines of the batch.
            width: Their width in pixels.
            calls: How many to time, after one that is not.

        Returns:
            Milliseconds of each.
        """
        buffers = self._make_buffers((rows, width))
        try:
            return _timed(buffers, self._run_options((rows, width), None), calls)
        finally:
            buffers.close()

    def close(self) -> None:
        """Drop the session."""
        self._session = None

    def _make_buffers(self, shape: tuple[int, int]) -> FixedBuffers:
        request, inputs = self._request, self._opened.inputs
        sample = inputs.sample(*shape)
        feeds = dict(zip(inputs.names, sample, strict=True))
        # The outputs' shapes are the graph's secret until it has run.
        outputs = self._session.run(self._outputs, feeds, self._run_options(shape, None))
        device = DEVICE_TYPES[request.device.kind], request.device.index
        buffers = FixedBuffers(
            request.onnxruntime,
            self._session,
            feeds,
            dict(zip(self._outputs, outputs, strict=True)),
            device,
            pinned=request.options.pinned,
        )
        buffers.fill(sample)
        return buffers

    def _run_options(self, shape: tuple[int, int], graph: int | None) -> RunOptions:
        provider = self._request.provider
        profiles = self._profiles
        profile = next((at for at, one in enumerate(profiles) if one.holds(shape)), None)
        if profiles and profile is None:
            built = ", ".join(f"1 to {one.most[0]} lines {_span(one.least[1], one.most[1])} wide" for one in profiles)
            raise BatchError(NAME, f"{shape[0]} lines {shape[1]} wide", f"what {provider} was built for: {built}")
        several = profile if len(profiles) > 1 else None
        entries = run_entries(provider, graphs=self._graphs, graph=graph, profile=several)
        run_options = self._request.onnxruntime.RunOptions()
        for key, value in entries.items():
            run_options.add_run_config_entry(key, value)
        return run_options


class GraphRunner(SessionRunner):
    """Runs the fixed shapes by recorded CUDA graphs, each on buffers of its own, and others without.

    ONNX Runtime records a graph for each thread that runs it, so one thread runs all.
    """

    def __init__(self, request: Request, opened: Opened) -> None:
        super().__init__(request, opened)
        # A number stands for one shape for ever: ONNX Runtime would replay it for any other, and be wrong.
        self._numbers = {shape: number for number, shape in enumerate(fixed_shapes(request.options.shapes), start=1)}
        self._recorded: dict[tuple[int, int], tuple[FixedBuffers, RunOptions]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ocrhpi-graphs")

    def run(self, arrays: Sequence[npt.NDArray[Any]]) -> Sequence[npt.NDArray[Any]]:
        """Run one batch; the first of its shape records the graph."""
        shape = self._opened.inputs.shape_of(arrays[0])
        if shape not in self._numbers:
            return super().run(arrays)
        return self._thread.submit(self._replay, shape, arrays).result()

    def device_ms(self, rows: int, width: int, calls: int) -> list[float]:
        """Time replays of the shape's graph alone, or, of another shape, runs without one."""
        if (rows, width) not in self._numbers:
            return super().device_ms(rows, width, calls)
        return self._thread.submit(self._time, (rows, width), calls).result()

    def close(self) -> None:
        """Drop the session and its buffers."""
        self._thread.shutdown()
        for buffers, _ in self._recorded.values():
            buffers.close()
        self._recorded.clear()
        super().close()

    def _replay(self, shape: tuple[int, int], arrays: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        buffers, run_options = self._recording(shape)
        buffers.fill(arrays)
        buffers.run(run_options)
        return buffers.read()

    def _time(self, shape: tuple[int, int], calls: int) -> list[float]:
        return _timed(*self._recording(shape), calls)

    def _recording(self, shape: tuple[int, int]) -> tuple[FixedBuffers, RunOptions]:
        if shape not in self._recorded:
            buffers = self._make_buffers(shape)
            self._recorded[shape] = buffers, self._run_options(shape, self._numbers[shape])
        return self._recorded[shape]


def _timed(buffers: FixedBuffers, run_options: RunOptions, calls: int) -> list[float]:
    times = []
    for number in range(calls + 1):
        start = time.perf_counter()
        buffers.run(run_options)
        if number:
            times.append(1e3 * (time.perf_counter() - start))
    return times


def _span(least: int, most: int) -> str:
    return str(most) if least == most else f"{least} to {most}"
