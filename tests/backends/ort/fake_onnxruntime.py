"""ONNX Runtime's own module, which says that it has GPUs: the real binding checks the calls, the CPU runs the nodes.

It is strict where a GPU would be wrong in silence: a recorded graph is replayed for its own shape alone, and buffers of
the GPU are asked for as such.
"""

from __future__ import annotations

import sys
from functools import partial
from types import SimpleNamespace
from typing import Any

import onnxruntime

from ocrhpi.backends.ort.options import CUDA
from ocrhpi.engines.onnxruntime_ import CPU

RTX = "NvTensorRTRTXExecutionProvider"
RECORDING = "session.record_ep_graph_assignment_info"
NO_GRAPH = {"", "-1"}


class FakeOnnxRuntime:
    """The module.

    Args:
        available: Providers of this build.
        loads: Those that load; others are left out of a session in silence, as ONNX Runtime does.
        tells: What sessions report of the options of a provider, over what they were given; None: nothing.
        records: Whether this version records which provider runs which node.
        stray: An operator that GPU providers leave to the CPU.
        gpus: Numbers of the GPUs that the plugin finds.
    """

    def __init__(
        self,
        available: tuple[str, ...] = (CUDA, CPU),
        *,
        loads: tuple[str, ...] = (CUDA, RTX, CPU),
        tells: dict[str, str] | None = None,
        silent: bool = False,
        records: bool = True,
        stray: str = "",
        gpus: tuple[int, ...] = (0, 1),
    ) -> None:
        self.available = available
        self.loads = loads
        self.tells = tells or {}
        self.silent = silent
        self.stray = stray
        self.gpus = gpus
        self.registered: list[str] = []
        self.sessions: list[FakeSession] = []
        self.replays: list[tuple[str, tuple[int, ...]]] = []
        self.failures: list[str] = []
        self.SessionOptions = FakeOptions
        make: Any = partial(FakeSession, self)
        if records:  # what the version offers is told by the class
            make.get_provider_graph_assignment_info = FakeSession.get_provider_graph_assignment_info
        self.InferenceSession = make

    def __getattr__(self, name: str) -> Any:
        return getattr(onnxruntime, name)

    def get_available_providers(self) -> list[str]:
        return list(self.available)

    def get_ep_devices(self) -> list[Any]:
        plugins = [(name, {"device_id": str(at)}) for name in self.registered for at in self.gpus]
        return [SimpleNamespace(ep_name=name, ep_options=options) for name, options in [(CPU, {}), *plugins]]

    def register_execution_provider_library(self, name: str, path: str) -> None:
        assert path.endswith(".so")
        if name in self.registered:
            raise RuntimeError(f"library is already registered under {name}")
        self.registered.append(name)

    def preload_dlls(self) -> None:
        sys.stdout.write("Failed to load libcudnn.so.9\n")


class FakeOptions(onnxruntime.SessionOptions):  # type: ignore[misc,unused-ignore]
    plugin: tuple[Any, dict[str, str]] | None = None
    entries: dict[str, str]

    def add_provider_for_devices(self, devices: list[Any], options: dict[str, str]) -> None:
        (device,) = devices
        self.plugin = device, options

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries = {**getattr(self, "entries", {}), key: value}
        super().add_session_config_entry(key, value)


class FakeSession(onnxruntime.InferenceSession):  # type: ignore[misc,unused-ignore]
    def __init__(
        self, fake: FakeOnnxRuntime, path: str, options: FakeOptions, providers: Any = None, *, enable_fallback: int = 1
    ) -> None:
        assert enable_fallback == 0, "a provider that fails would be replaced"
        if fake.failures:
            raise RuntimeError(fake.failures.pop())
        asked = [(one, {}) if isinstance(one, str) else one for one in providers or []]
        if options.plugin is not None:
            assert providers is None, "ONNX Runtime would ignore the plugin"
            asked = [(options.plugin[0].ep_name, options.plugin[1]), (CPU, {})]
        self.asked = {name: given for name, given in asked if name in fake.loads}
        assert all(isinstance(value, str) for given in self.asked.values() for value in given.values())
        self.fake = fake
        self.options = options
        self.shapes_of_graphs: dict[str, tuple[int, ...]] = {}
        super().__init__(path, options, providers=[CPU], enable_fallback=0)
        fake.sessions.append(self)

    def get_providers(self) -> list[str]:
        return list(self.asked)

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        return {name: {} if self.fake.silent else {**given, **self.fake.tells} for name, given in self.asked.items()}

    def get_provider_graph_assignment_info(self) -> list[Any]:
        assert self.options.entries[RECORDING] == "1"
        subgraphs = []
        for subgraph in super().get_provider_graph_assignment_info():
            (node,) = subgraph.get_nodes()
            at_home = node.op_type in {self.fake.stray, "Shape", "Gather"}
            name = CPU if at_home else next(iter(self.asked))
            subgraphs.append(SimpleNamespace(ep_name=name, get_nodes=partial(list, [node])))
        return subgraphs

    def run(self, outputs: Any, feeds: Any, run_options: Any = None) -> Any:
        assert run_options is None or _graph(run_options) in NO_GRAPH, "a recorded graph needs bound buffers"
        return super().run(outputs, feeds, run_options)

    def run_with_iobinding(self, binding: Any, run_options: Any = None) -> None:
        number = _graph(run_options)
        shape = tuple(binding._bound_inputs[self.get_inputs()[0].name].shape())
        if number not in NO_GRAPH:
            assert self.shapes_of_graphs.setdefault(number, shape) == shape, "replayed for another shape"
        self.fake.replays.append((number, shape))
        super().run_with_iobinding(binding, run_options)

    def create_ortvalue_from_shape_and_type(self, shape: Any, kind: Any, device_type: str, device_id: int = 0) -> Any:
        assert device_type == "cuda"
        assert device_id in self.fake.gpus
        return super().create_ortvalue_from_shape_and_type(shape, kind, "cpu", 0)


def _graph(run_options: Any) -> str:
    """Number of the graph that a run records or replays, by the key of CUDA or of TensorRT for RTX."""
    return _entry(run_options, "gpu_graph_id") or _entry(run_options, "cuda_graph_annotation_id")


def _entry(run_options: Any, key: str) -> str:
    try:
        return str(run_options.get_run_config_entry(key))
    except RuntimeError:
        return ""
