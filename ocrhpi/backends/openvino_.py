"""Backend ``openvino``: OpenVINO from ONNX, or from Paddle's old format where there is no ONNX."""

from __future__ import annotations

import queue
import threading
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ocrhpi.backends.base import Backend, Effective
from ocrhpi.backends.device import Device
from ocrhpi.backends.onnx_io import GraphInterface, onnx_file
from ocrhpi.backends.openvino_layers import keep_fp32, layer_precisions
from ocrhpi.backends.registry import BackendSpec, GpuWay
from ocrhpi.engines.openvino_ import PRECISIONS, cpu_properties
from ocrhpi.errors import BackendError, BackendMismatch, BackendUnavailable
from ocrhpi.forks import OncePerProcess, before_forks
from ocrhpi.machine import usable_cores
from ocrhpi.model.graph_facts import read_onnx_metadata
from ocrhpi.options import Options, PathText, Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ocrhpi.model import Model
    from ocrhpi.values import Contents, Emissions, NetworkInput, Widths

SPEC = BackendSpec(
    name="openvino",
    target="ocrhpi.backends.openvino_:OpenVinoBackend",
    modules=("openvino",),
    distributions=("openvino",),
    install="pip install 'ocrhpi[openvino]'",
    onnx_head="full",
    shape_count_option=True,
    lowered_graphs=True,
    threads_option="threads",
    batch_options=("hint", "streams", "requests"),
    paddlex_names={"cpu_num_threads": "threads"},
    gpu_ways=(GpuWay(vendor="intel"),),
    order=1,
    unverified="Intel GPUs",
)

# docs/decisions/0006-openvino-memory.md
_PRIMITIVES_A_SHAPE = 80
_CACHE_OF_ENDLESS_SHAPES = 2000
_BY_GRAPH = {"bf16-selective": "bf16", "int8": "int8", "int8-selective": "int8"}
"""Precisions that the graph brings about, and what some of its layers then run in."""


class OpenVinoOptions(Options):
    """Options of OpenVINO.

    Attributes:
        precision: Precision of the arithmetic; a device that does not have it is refused, never replaced.
            ``bf16-selective``, ``int8`` and ``int8-selective`` need a graph that has them, see `ocrhpi.quantization`.
        rest: With ``int8`` and ``int8-selective``, precision of the layers that are not in INT8.
        hint: ``latency`` puts all threads to one batch, ``throughput`` shares them out to several batches.
        streams: Batches that are computed at the same time; None leaves it to ``hint``.
        threads: CPU threads of all streams together; None takes the usable cores.
        requests: Calls of ``run`` in flight; None is one for each stream.
        pinning: Tie the threads to cores. Processes that share a machine then meet on the same cores.
        shape_count: How many shapes will come; None: no end of them.
        runtime_cache: Compiled primitives that are kept for shapes seen before, on the CPU; None takes as many as hold
            all of ``shape_count``, and 2,000 where they have no end, which bounds memory.
        cache_dir: Directory for compiled models, which shortens the next start; None keeps none.
    """

    precision: Literal["fp32", "bf16", "fp16", "bf16-selective", "int8", "int8-selective"] = "fp32"
    rest: Literal["fp32", "bf16"] = "fp32"
    hint: Literal["latency", "throughput"] = "latency"
    streams: Annotated[int, Field(ge=1)] | None = None
    threads: Threads | None = None
    requests: Annotated[int, Field(ge=1)] | None = None
    pinning: bool = False
    shape_count: Annotated[int, Field(ge=1)] | None = None
    runtime_cache: Annotated[int, Field(ge=0)] | None = None
    cache_dir: PathText | None = None


class OpenVinoBackend(Backend):
    """OpenVINO on a CPU, or on what else of Intel's the installed OpenVINO finds."""

    name = SPEC.name
    options_type = OpenVinoOptions
    options: OpenVinoOptions

    def __init__(self, model: Model, device: str | None = None, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(model, device, options)
        self._interface: GraphInterface | None = None
        self._lock = threading.Lock()
        self._compile: Callable[[], Any] = lambda: None
        self._idle: queue.SimpleQueue[Any] | None = None  # requests of the model as it is compiled now

    @property
    def parallel_requests(self) -> int:
        """The option ``requests``, or one for each stream."""
        streams = self._threads if self.options.hint == "throughput" else 1
        return self.options.requests or self.options.streams or streams

    @property
    def masked(self) -> bool:
        """Whether the graph takes ``widths``."""
        return self._interface is not None and self._interface.masked

    def _open(self) -> Effective:
        openvino = _import_openvino()
        core = process_core()
        name = self._choose_device(core.available_devices)
        file, network = self._network(openvino, core)
        inputs, outputs = ([tensor.get_names() for tensor in ends] for ends in (network.inputs, network.outputs))
        interface = GraphInterface.read(file, inputs, outputs)
        cache, count = self.options.runtime_cache, self.options.shape_count
        if cache is None:
            cache = _CACHE_OF_ENDLESS_SHAPES if count is None else _PRIMITIVES_A_SHAPE * count
        properties = self._properties(name, cache)
        compiled = core.compile_model(network, name, properties)
        effective = self._verified(compiled, str(openvino.get_version()), name, cache)
        self._compile = lambda: core.compile_model(self._network(openvino, core)[1], name, properties)
        self._idle = self._requests_of(compiled)
        self._interface = interface
        return effective

    @property
    def takes_pixels(self) -> bool:
        """Whether the graph takes ``contents``."""
        return self._interface is not None and self._interface.pixels

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        assert self._interface is not None  # noqa: S101 - open, as run() checked
        inputs = dict(enumerate(self._interface.inputs(batch, widths, contents)))
        while True:
            idle = self._whole()
            request = idle.get()
            try:
                # The outputs stay in the engine's memory, so the request is busy until they are reduced.
                outputs = self._infer(request, inputs, idle)
                emissions = self._interface.emissions(list(outputs.values()), partial(self._reduce, margin=margin))
            finally:
                idle.put(request)
            if idle is self._idle:  # else another call failed meanwhile, perhaps in the stream that this one ran in
                return emissions

    def _infer(self, request: Any, inputs: dict[int, Any], idle: queue.SimpleQueue[Any]) -> Any:  # noqa: ANN401
        try:
            return request.infer(inputs, share_inputs=True, share_outputs=True)
        except BaseException:
            # A network that failed half-way, say for lack of memory, stays as it was then: it fails at every batch from
            # there on, or gives the outputs of the one before (seen with OpenVINO 2026.4). New requests do not help.
            with self._lock:
                if self._idle is idle:
                    self._idle = None
            raise

    def _whole(self) -> queue.SimpleQueue[Any]:
        """Return the idle requests, of a model compiled anew if a batch failed."""
        with self._lock:
            if self._idle is None:
                self._idle = self._requests_of(self._compile())
            return self._idle

    def _requests_of(self, compiled: Any) -> queue.SimpleQueue[Any]:  # noqa: ANN401 - see `_network`
        requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(self.parallel_requests):
            requests.put(compiled.create_infer_request())
        return requests

    def _close(self) -> None:
        self._idle = None
        self._compile = lambda: None

    @property
    def _threads(self) -> int:
        return self.options.threads or usable_cores()

    def _choose_device(self, available: list[str]) -> str:
        """Return OpenVINO's name, such as ``GPU.1``, of the device asked for."""
        asked = self.device or Device("cpu")
        if asked.kind == "auto":
            # Not OpenVINO's own AUTO: it changes devices as it runs and does not tell its precision.
            return next((name for name in available if name.startswith("GPU")), "CPU")
        names = {_our_name(name): name for name in available}
        wanted = f"{asked.kind}:{asked.index}" if asked.index else str(asked)  # there is no second CPU
        if wanted not in names:
            raise BackendMismatch(self.name, f"device {wanted}", f"OpenVINO finds here: {', '.join(names)}, auto")
        return names[wanted]

    def _network(self, openvino: Any, core: Any) -> tuple[Path, Any]:  # noqa: ANN401 - OpenVINO's types need it imported
        """Return the file and the network in it, with its layers in the precisions that it says."""
        file, network = self._read(openvino, core)
        return file, self._with_layers(openvino, core, network)

    def _read(self, openvino: Any, core: Any) -> tuple[Path, Any]:  # noqa: ANN401
        files = self.model.files
        if files.onnx is None and files.paddle_graph and files.paddle_graph.suffix == ".pdmodel":
            frontend, paths = "paddle", files.source
        else:
            frontend, paths = "onnx", (onnx_file(self.model, self.name),)
        # Asked first: what no front end knows, read_model tries with all of them, with noise on stderr.
        if not openvino.frontend.FrontEndManager().load_by_framework(frontend).supported(str(paths[0])):
            raise BackendError(self.name, f"could not read {paths[0]}: not an {frontend.upper()} model, or damaged")
        try:
            return paths[0], core.read_model(*paths)
        except RuntimeError as error:
            raise BackendError(self.name, f"could not read {paths[0]}: {_telling(error)}") from error

    def _with_layers(self, openvino: Any, core: Any, network: Any) -> Any:  # noqa: ANN401
        """Return the network with its layers in the precisions that the graph says.

        Raises:
            BackendMismatch: It was asked for other ones.
        """
        file = self.model.files.onnx
        facts = {} if file is None else read_onnx_metadata(file)
        found, asked = facts.get("precision", "fp32"), self.options.precision
        if found != asked and not _BY_GRAPH.keys().isdisjoint((found, asked)):
            raise BackendMismatch(self.name, f"precision {asked}", f"the graph {file} is {found}")
        if "fp32_tensors" not in facts:
            return network
        return keep_fp32(network, facts["fp32_tensors"].split("\n"), openvino.save_model, core.read_model)

    @property
    def _hint(self) -> str:
        """Precision of what the graph does not decide."""
        options = self.options
        if _BY_GRAPH.get(options.precision) == "int8":
            return options.rest
        return _BY_GRAPH.get(options.precision, options.precision)

    def _properties(self, device: str, cache: int) -> dict[str, Any]:
        options = self.options
        properties: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[self._hint],
            "PERFORMANCE_HINT": options.hint.upper(),
            "PERFORMANCE_HINT_NUM_REQUESTS": self.parallel_requests,
        }
        if options.streams:
            properties["NUM_STREAMS"] = options.streams
        if options.cache_dir:
            properties["CACHE_DIR"] = options.cache_dir
        if device == "CPU":
            properties |= cpu_properties(self._hint, self._threads, cache=cache, pinning=options.pinning)
        return properties

    def _verified(self, compiled: Any, version: str, device: str, cache: int) -> Effective:  # noqa: ANN401
        executed = ", ".join(_our_name(name) for name in compiled.get_property("EXECUTION_DEVICES"))
        if executed != _our_name(device):
            raise BackendMismatch(self.name, f"device {_our_name(device)}", f"OpenVINO runs on {executed}")
        names = {theirs: ours for ours, theirs in PRECISIONS.items()}
        hint = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        precision = names.get(hint, hint)
        if precision != self._hint:
            got = f"OpenVINO would run {precision} on {executed}"
            raise BackendMismatch(self.name, f"precision {self.options.precision}", got)
        cpu = device == "CPU"
        layers = layer_precisions(compiled) if cpu else {}
        lowered = _BY_GRAPH.get(self.options.precision)
        if lowered is not None and not layers.get(lowered):
            got = f"OpenVINO runs none of the layers so on {executed}, but {layers}"
            raise BackendMismatch(self.name, f"precision {self.options.precision}", got)
        threads = int(compiled.get_property("INFERENCE_NUM_THREADS")) if cpu else 0
        streams = int(compiled.get_property("NUM_STREAMS"))
        asked = (
            ("threads", self._threads if cpu else 0, threads),
            ("streams", self.options.streams or streams, streams),
        )
        settings: dict[str, Any] = {"hint": self.options.hint}
        if cpu:
            settings |= {"pinning": self.options.pinning, "runtime_cache": cache, "layers": layers}
        return Effective(
            backend=self.name,
            engine_version=version,
            device=executed,
            precision=self.options.precision,
            threads=threads,
            settings={**settings, "streams": streams, "requests": self.parallel_requests},
            notes=tuple(f"{want} {what} asked for, OpenVINO takes {got}" for what, want, got in asked if want != got),
        )


def _our_name(device: str) -> str:
    kind, _, index = device.lower().partition(".")
    return str(Device(kind, int(index or 0)))


def _telling(error: Exception) -> str:
    """OpenVINO names its own source files first, and the reason after them."""
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines if line and not line.startswith(("Exception from", "Check '")))[:300]


@OncePerProcess
def process_core() -> Any:  # noqa: ANN401 - untyped
    """Return the core of this process, which is never closed.

    OpenVINO registers an alternate signal stack in the thread that makes a core, and frees it with the core: if another
    thread closes it, the next signal handled in the first one kills the process (seen with OpenVINO 2026.4).
    """
    return _import_openvino().Core()


@before_forks
def _end_idle_threads() -> None:
    """End the threads of models that were closed.

    OpenVINO keeps them for the next model, also in a forked child, which has the next model but not the threads: it
    would wait for them for ever (seen with OpenVINO 2026.4). They end with any core, which takes 5 ms.
    """
    if process_core.is_made:
        _import_openvino().Core().get_property("CPU", "FULL_DEVICE_NAME")


def _import_openvino() -> Any:  # noqa: ANN401 - see above
    try:
        import openvino.frontend  # noqa: PLC0415 - engines are imported only by the backend that is opened
    except ImportError as error:
        raise BackendUnavailable(SPEC.name, f"it does not import: {error}", SPEC.install) from error
    return openvino
