"""Backend ``onnxruntime``: ONNX Runtime in FP32, on a CPU or an NVIDIA GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from ocrhpi.backends.base import Backend, Effective
from ocrhpi.backends.device import Device
from ocrhpi.backends.onnx_io import GraphInterface, onnx_file
from ocrhpi.errors import BackendError, BackendMismatch, BackendUnavailable
from ocrhpi.machine import usable_cores
from ocrhpi.options import Options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocrhpi.model import Model
    from ocrhpi.values import Emissions, Tensor, Widths

__all__ = ["OnnxRuntimeBackend", "OnnxRuntimeOptions"]

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_LEVELS = {
    "all": "ORT_ENABLE_ALL",
    "extended": "ORT_ENABLE_EXTENDED",
    "basic": "ORT_ENABLE_BASIC",
    "disabled": "ORT_DISABLE_ALL",
}
_FATAL = 4  # log severity; what is less comes as an exception, too


class OnnxRuntimeOptions(Options):
    """Options of ONNX Runtime.

    Attributes:
        threads: CPU threads that share the work of one operator; None takes the usable cores.
        inter_op: CPU threads that run operators side by side; above 1 the graph runs in parallel mode.
        spinning: Let threads without work wait actively: quicker, and it takes cores from everything else.
        graph_level: How far the graph is optimised.
        arena: Keep freed CPU memory for the next run.
        requests: Calls of ``run`` in flight; they share the threads.
    """

    threads: Annotated[int, Field(ge=1)] | None = None
    inter_op: Annotated[int, Field(ge=1)] = 1
    spinning: bool = True
    graph_level: Literal["all", "extended", "basic", "disabled"] = "all"
    arena: bool = True
    requests: Annotated[int, Field(ge=1)] = 1


class OnnxRuntimeBackend(Backend):
    """ONNX Runtime with the CPU or the CUDA execution provider."""

    name = "onnxruntime"
    options_type = OnnxRuntimeOptions
    # Its errors derive from Exception alone, and to name them one would have to import it.
    foreign_errors: ClassVar[tuple[type[Exception], ...]] = (Exception,)
    options: OnnxRuntimeOptions

    def __init__(self, model: Model, device: str | None = None, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(model, device, options)
        self._session: Any = None
        self._inputs: list[str] = []
        self._interface: GraphInterface | None = None

    @property
    def parallel_requests(self) -> int:
        """The option ``requests``."""
        return self.options.requests

    @property
    def masked(self) -> bool:
        """Whether the graph takes ``widths``."""
        return self._interface is not None and self._interface.masked

    def _open(self) -> Effective:
        file = onnx_file(self.model, self.name)
        onnxruntime = _import_onnxruntime()
        device = self._choose_device(onnxruntime.get_available_providers())
        notes: tuple[str, ...] = ()
        try:
            session = self._load(onnxruntime, str(file), device)
        except BackendError as error:
            if self.device is not None or device.kind == "cpu":
                raise
            notes = (f"no device was asked for; the CPU runs, since the GPU failed: {error}",)
            device = Device("cpu")
            session = self._load(onnxruntime, str(file), device)
        inputs = [tensor.name for tensor in session.get_inputs()]
        outputs = [tensor.name for tensor in session.get_outputs()]
        self._interface = GraphInterface.read(file, [{name} for name in inputs], [{name} for name in outputs])
        self._session, self._inputs = session, inputs
        return Effective(
            backend=self.name,
            engine_version=str(onnxruntime.__version__),
            device=str(device),
            precision="fp32",
            threads=session.get_session_options().intra_op_num_threads if device.kind == "cpu" else 0,
            settings={
                "providers": session.get_providers(),
                **self.options.model_dump(include={"inter_op", "spinning", "graph_level", "arena", "requests"}),
            },
            notes=notes,
        )

    def _run(self, batch: Tensor, widths: Widths | None) -> Emissions:
        assert self._interface is not None  # noqa: S101 - open, as run() checked
        tensors = (batch,) if widths is None else (batch, widths)
        outputs = self._session.run(None, dict(zip(self._inputs, tensors, strict=True)))
        return self._interface.emissions(outputs, self._reduce)

    def _close(self) -> None:
        self._session = None

    def _choose_device(self, available: list[str]) -> Device:
        asked = self.device or Device("gpu" if _CUDA in available else "cpu")
        if asked.kind not in {"cpu", "gpu"} or (asked.kind == "cpu" and asked.index):
            raise BackendMismatch(self.name, f"device {asked.kind}:{asked.index}", "it knows 'cpu' and 'gpu:INDEX'")
        if asked.kind == "gpu" and _CUDA not in available:
            found = f"the installed ONNX Runtime has no {_CUDA}, only {', '.join(available)}"
            raise BackendMismatch(self.name, f"device {asked}", found)
        return asked

    def _load(self, onnxruntime: Any, file: str, device: Device) -> Any:  # noqa: ANN401 - untyped
        providers: list[Any] = [_CPU]
        if device.kind == "gpu":
            # TF32 is CUDA's default for FP32 and is not FP32.
            providers = [(_CUDA, {"device_id": device.index, "use_tf32": 0}), _CPU]
        options = self._session_options(onnxruntime)
        try:
            # Without enable_fallback=0 a provider that fails is replaced, and the fact printed.
            session = onnxruntime.InferenceSession(file, options, providers=providers, enable_fallback=0)
        except Exception as error:
            raise BackendError(self.name, f"could not load {file}: {' '.join(str(error).split())}") from error
        self._verify(session, device)
        return session

    def _session_options(self, onnxruntime: Any) -> Any:  # noqa: ANN401
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _FATAL
        options.intra_op_num_threads = self.options.threads or usable_cores()
        options.inter_op_num_threads = self.options.inter_op
        if self.options.inter_op > 1:
            options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(self.options.spinning)))
        options.add_session_config_entry("session.inter_op.allow_spinning", str(int(self.options.spinning)))
        level = _LEVELS[self.options.graph_level]
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        options.enable_cpu_mem_arena = self.options.arena
        options.enable_mem_pattern = False  # a plan is kept for every shape, and widths are many
        return options

    def _verify(self, session: Any, device: Device) -> None:  # noqa: ANN401
        wanted = _CUDA if device.kind == "gpu" else _CPU
        providers = session.get_providers()
        # Shape arithmetic belongs on the CPU, so a GPU session may have the CPU second, but never first;
        # session.disable_cpu_ep_fallback would refuse every exported graph for it.
        if providers[0] != wanted:
            raise BackendMismatch(self.name, f"device {device}", f"ONNX Runtime runs on {', '.join(providers)}")
        if device.kind == "gpu":
            options = session.get_provider_options()[_CUDA]
            got = {name: options.get(name) for name in ("device_id", "use_tf32")}
            if got != {"device_id": str(device.index), "use_tf32": "0"}:
                raise BackendMismatch(self.name, f"device {device} in FP32", f"ONNX Runtime runs with {got}")


def _import_onnxruntime() -> Any:  # noqa: ANN401
    try:
        import onnxruntime  # noqa: PLC0415 - engines are imported only by the backend that is opened
    except ImportError as error:
        raise BackendUnavailable(
            "onnxruntime", f"it does not import: {error}", "pip install 'ocrhpi[onnxruntime]'"
        ) from error
    return onnxruntime
