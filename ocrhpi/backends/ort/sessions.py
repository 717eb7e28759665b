"""Sessions, one way for each provider; each is asked what it really runs, and where, before it is used."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ocrhpi.backends.compiled import CompiledCache
from ocrhpi.backends.device import forbid_tf32
from ocrhpi.backends.onnx_io import GraphInterface
from ocrhpi.backends.ort import libraries
from ocrhpi.backends.ort.libraries import gpu_facts
from ocrhpi.backends.ort.options import CUDA, INSTALL_GPU, INSTALL_RTX, NAME, GraphInputs, cuda_options, rtx_options
from ocrhpi.engines.onnxruntime_ import CPU, session_options
from ocrhpi.errors import BackendError, BackendMismatch
from ocrhpi.files import temporary_folder
from ocrhpi.machine import usable_cores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ocrhpi.backends.device import Device
    from ocrhpi.backends.ort.libraries import GpuFacts
    from ocrhpi.backends.ort.options import OnnxRuntime, OnnxRuntimeOptions, Provider, Session, SessionOptions
    from ocrhpi.model import Model

Placement: TypeAlias = "Mapping[str, Counter[str]]"
"""Provider -> operator -> how many nodes of it the provider runs."""

RECORDING = "session.record_ep_graph_assignment_info"
"""Session setting that `assigned_nodes` needs."""

# What a network spends its time in. Names with Fused and Nhwc are ONNX Runtime's own, after its graph optimisation.
_COMPUTE = frozenset(
    {
        *("Conv", "FusedConv", "NhwcConv", "NhwcFusedConv", "ConvTranspose"),
        *("MatMul", "FusedMatMul", "Gemm", "FusedGemm", "Attention", "MultiHeadAttention"),
        *("LSTM", "GRU", "RNN"),
    }
)
# What works out shapes, and is at home on the CPU even in a GPU session.
_SHAPE_ARITHMETIC = frozenset(
    {
        *("Shape", "Size", "Constant", "ConstantOfShape", "Range", "Identity", "Cast", "Reshape", "Expand", "Tile"),
        *("Gather", "GatherND", "GatherElements", "ScatterND", "ScatterElements", "Slice", "Split", "Concat"),
        *("Squeeze", "Unsqueeze", "Transpose", "Where", "Not", "And", "Or", "Equal"),
        *("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Add", "Sub", "Mul", "Div", "Mod", "Neg", "Abs", "Sign"),
        *("Min", "Max", "Floor", "Ceil", "Clip", "ReduceProd", "ReduceSum", "ReduceMin", "ReduceMax"),
    }
)


def assigned_nodes(session: Session) -> Placement:
    """Return what a session that was made with `RECORDING` assigned to each provider; ONNX Runtime 1.24 and newer."""
    placement: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for subgraph in session.get_provider_graph_assignment_info():
        placement[str(subgraph.ep_name)].update(str(node.op_type) for node in subgraph.get_nodes())
    return dict(placement)


def profiled_nodes(profile: Path) -> Placement:
    """Return what ran where, from the profile of one run: for older versions."""
    placement: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for event in json.loads(profile.read_text("utf-8")):
        arguments = event.get("args", {})
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time") and "provider" in arguments:
            placement[arguments["provider"]][arguments["op_name"]] += 1
    return dict(placement)


def check_placement(placement: Placement, wanted: str, asked: str) -> None:
    """See that a GPU's provider really runs the network, with only shape arithmetic left to the CPU.

    Args:
        placement: Of all nodes.
        wanted: The provider that should run them.
        asked: What the user asked for, as a phrase.

    Raises:
        BackendMismatch: It runs no node, or a part of the network runs elsewhere.
    """
    elsewhere: Counter[str] = Counter()
    for provider, operators in placement.items():
        if provider != wanted:
            at_home = _SHAPE_ARITHMETIC if provider == CPU else operators.keys() - _COMPUTE
            elsewhere.update({f"{name} on {provider}": n for name, n in operators.items() if name not in at_home})
    if elsewhere:
        strays = ", ".join(f"{count} {name}" for name, count in elsewhere.most_common(5))
        raise BackendMismatch(NAME, asked, f"ONNX Runtime left a part of the network elsewhere: {strays}")
    if not placement.get(wanted):
        raise BackendMismatch(NAME, asked, f"ONNX Runtime gave no node to {wanted}")


_LEVELS = {
    "all": "ORT_ENABLE_ALL",
    "extended": "ORT_ENABLE_EXTENDED",
    "basic": "ORT_ENABLE_BASIC",
    "disabled": "ORT_DISABLE_ALL",
}


@dataclass(frozen=True)
class Request:
    """What is to be opened.

    Attributes:
        onnxruntime: The module.
        model: The model; gives height and width of lines.
        file: Its graph.
        provider: What should run the nodes.
        device: Where.
        options: The options of the backend.
    """

    onnxruntime: OnnxRuntime
    model: Model
    file: Path
    provider: Provider
    device: Device
    options: OnnxRuntimeOptions

    @property
    def phrase(self) -> str:
        """The provider and device, for messages."""
        return f"device {self.device}" + ("" if self.provider in {"cpu", "cuda"} else f" with {self.provider}")


@dataclass(frozen=True)
class Opened:
    """A session and what is known of it.

    Attributes:
        session: The session.
        interface: Where its graph takes and gives what.
        inputs: Its inputs.
        engine_name: ONNX Runtime's name of the provider that runs the network.
        placement: Which provider runs which node; None on a CPU, where there is but one.
        gpu: The GPU; None on a CPU.
        notes: What could not be verified, as sentences.
    """

    session: Session
    interface: GraphInterface
    inputs: GraphInputs
    engine_name: str
    placement: Placement | None = None
    gpu: GpuFacts | None = None
    notes: tuple[str, ...] = ()


def open_session(request: Request) -> Opened:
    """Open a session and verify provider, device and settings.

    Raises:
        BackendUnavailable: A package that the provider needs is not installed.
        BackendMismatch: ONNX Runtime would run something else.
        ModelFormatError: The graph has another interface.
        BackendError: It failed.
    """
    if request.provider == "cpu":
        session = _create(request, [CPU])
        _check_first(request, session, CPU)
        return Opened(session, *_ends(request, session), CPU)
    return _open_cuda(request) if request.provider == "cuda" else _open_rtx(request)


def _open_cuda(request: Request) -> Opened:
    complaints = libraries.load_cuda(request.onnxruntime)
    libraries.require_cuda(request.onnxruntime, request.phrase)
    asked = cuda_options(request.options, request.device.index)
    session, placement = _create_observed(request, [(CUDA, asked), CPU], CUDA, complaints)
    return _verified(request, session, CUDA, placement, _check_settings(request, session, CUDA, asked))


def _open_rtx(request: Request) -> Opened:
    forbid_tf32(NAME)  # at any precision: an engine must run with the setting that it was compiled with
    onnxruntime = request.onnxruntime
    name = libraries.register_plugin(onnxruntime, libraries.RTX_MODULE, request.provider, INSTALL_RTX)
    device = libraries.rtx_device(onnxruntime, name, request.device.index)
    cache = _cache(request, gpu_facts(request.device.index), libraries.rtx_version())
    asked = rtx_options(request.options, _inputs_of_file(request), cache.path)

    def create() -> tuple[Session, Placement]:
        return _create_observed(request, None, name, "", plugin=(device, asked))

    session, placement = cache.load(create)
    return _verified(request, session, name, placement, ())


def _verified(request: Request, session: Session, name: str, placement: Placement, notes: tuple[str, ...]) -> Opened:
    check_placement(placement, name, request.phrase)
    gpu = gpu_facts(request.device.index)
    return Opened(session, *_ends(request, session), name, placement, gpu, notes)


def _create_observed(
    request: Request,
    providers: Sequence[Any] | None,
    name: str,
    complaints: str,
    plugin: tuple[Any, Mapping[str, str]] | None = None,
) -> tuple[Session, Placement]:
    """Create a session and find out which provider runs which node."""
    options = _session_options(request)
    if plugin is not None:
        options.add_provider_for_devices([plugin[0]], dict(plugin[1]))
    if hasattr(request.onnxruntime.InferenceSession, "get_provider_graph_assignment_info"):
        options.add_session_config_entry(RECORDING, "1")
        session = _create(request, providers, options)
        _check_first(request, session, name, complaints)
        return session, assigned_nodes(session)
    with temporary_folder() as folder:
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "profile")
        session = _create(request, providers, options)
        _check_first(request, session, name, complaints)
        _, inputs = _ends(request, session)
        sample = inputs.sample(*(request.options.shapes or [(1, request.model.spec.base_width)])[0])
        session.run(None, dict(zip(inputs.names, sample, strict=True)))
        return session, profiled_nodes(Path(session.end_profiling()))


def _create(request: Request, providers: Sequence[Any] | None, options: SessionOptions = None) -> Session:
    options = options or _session_options(request)
    try:
        # Without enable_fallback=0 a provider that fails is replaced, and the fact printed.
        return request.onnxruntime.InferenceSession(str(request.file), options, providers=providers, enable_fallback=0)
    except Exception as error:
        raise BackendError(NAME, f"could not load {request.file}: {' '.join(str(error).split())}") from error


def _session_options(request: Request) -> SessionOptions:
    onnxruntime, asked = request.onnxruntime, request.options
    options = session_options(
        onnxruntime,
        threads=asked.threads or usable_cores(),
        arena=asked.arena,
        spinning=asked.spinning,
        inter_op=asked.inter_op,
    )
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, _LEVELS[asked.graph_level])
    return options


def _ends(request: Request, session: Session) -> tuple[GraphInterface, GraphInputs]:
    inputs = tuple(tensor.name for tensor in session.get_inputs())
    outputs = [{tensor.name} for tensor in session.get_outputs()]
    interface = GraphInterface.read(request.file, [{name} for name in inputs], outputs)
    return interface, GraphInputs(inputs, interface.pixels, request.model.spec.height, request.model.spec.channels)


def _inputs_of_file(request: Request) -> GraphInputs:
    """Read the inputs before the real session is made, which is told their shapes."""
    options = _session_options(request)
    options.graph_optimization_level = getattr(request.onnxruntime.GraphOptimizationLevel, _LEVELS["disabled"])
    return _ends(request, _create(request, [CPU], options))[1]


def _cache(request: Request, gpu: GpuFacts, engine_version: str) -> CompiledCache:
    options = request.options
    facts = {
        "onnxruntime": str(request.onnxruntime.__version__),
        "engine": engine_version,
        "gpu": gpu.name,
        "compute_capability": gpu.compute_capability,
        "precision": options.precision,
        "shapes": [list(shape) for shape in options.shapes],
        "cuda_graphs": options.cuda_graphs,
    }
    return CompiledCache(f"onnxruntime-{request.provider}", request.file, facts, options.cache_dir)


def _check_first(request: Request, session: Session, wanted: str, complaints: str = "") -> None:
    """See that the provider that was asked for comes first; one that fails to load is left out in silence."""
    found = session.get_providers()
    if found[0] == wanted:
        return
    runs = f"ONNX Runtime runs on {', '.join(found)}"
    if request.provider == "cuda":
        reason = libraries.why_cuda_not_loaded(request.onnxruntime) or complaints or "no reason is given"
        hint = f"{INSTALL_GPU} brings the libraries, and 'nvidia-smi' must list the GPU"
        runs = f"{runs}, since {wanted} did not load: {reason}; {hint}"
    raise BackendMismatch(NAME, request.phrase, runs)


def _check_settings(request: Request, session: Session, name: str, asked: Mapping[str, str]) -> tuple[str, ...]:
    """See that the settings are in force; return a note if the provider does not tell."""
    reported = session.get_provider_options().get(name, {})
    differing = {key: reported[key] for key, value in asked.items() if reported.get(key, value) != value}
    if differing:
        wanted = {key: asked[key] for key in differing}
        raise BackendMismatch(NAME, f"{request.phrase} with {wanted}", f"ONNX Runtime runs with {differing}")
    untold = sorted(asked.keys() - reported.keys())
    return (f"{name} does not report {', '.join(untold)}; taken as asked for",) if untold else ()
