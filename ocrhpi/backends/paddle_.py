"""Backend ``paddle``: Paddle Inference, in FP32 the normal mode that everything else is measured against."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ocrhpi.backends.base import Backend, Effective
from ocrhpi.backends.device import Device, forbid_tf32
from ocrhpi.backends.gpu import gpu_reason
from ocrhpi.backends.registry import BackendSpec, GpuWay
from ocrhpi.errors import BackendMismatch, BackendUnavailable, ModelFormatError, ModelNotFound, OptionError
from ocrhpi.machine import usable_cores
from ocrhpi.model.parameters import check_parameters
from ocrhpi.options import Options, Threads

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ocrhpi.model import Model
    from ocrhpi.values import Contents, Emissions, NetworkInput, Probabilities, Widths

SPEC = BackendSpec(
    name="paddle",
    target="ocrhpi.backends.paddle_:PaddleBackend",
    modules=("paddle",),
    distributions=("paddlepaddle", "paddlepaddle-gpu"),
    install="pip install 'ocrhpi[paddle]'",
    threads_option="threads",
    runs_paddle=True,
    by_cuda=True,
    # In a value of `run_mode` PaddleX says both precision and engine: see `ocrhpi.config.paddlex_options`.
    paddlex_names={
        "run_mode": "onednn",
        "cpu_threads": "threads",
        "mkldnn_cache_capacity": "onednn_cache_capacity",
        "enable_new_ir": "new_ir",
        "enable_new_executor": "new_executor",
    },
    gpu_ways=(GpuWay(package="paddlepaddle-gpu", hint="install paddlepaddle-gpu from PaddlePaddle's own index"),),
    order=0,
    unverified="NVIDIA GPUs",
)

_PROGRAM_DESC_BLOCKS = b"\x0a"  # tag of ProgramDesc.blocks, the first field of every serialised program
_GPU_POOL_MB = 100  # first size of the memory pool, which grows; the value PaddleX uses


_TF32_FLAGS = ("FLAGS_cublas_allow_tf32", "FLAGS_cudnn_allow_tf32")  # from 3.3 on


class PaddleOptions(Options):
    """Options of Paddle Inference.

    Attributes:
        threads: CPU threads; None takes the usable cores.
        onednn: Run CPU operators through oneDNN (MKL-DNN). ``auto``, as PaddleOCR 3.x: yes, and plain Paddle
            where oneDNN refuses the graph; True: yes, or fail; False: plain Paddle.
        onednn_cache_capacity: Input shapes whose oneDNN primitives are kept. Unbounded caches look like a leak.
        new_ir: Run the graph in Paddle's PIR representation. False is the older one, faster for some old graphs.
        new_executor: Run with the new executor; PIR needs it.
        precision: ``fp32``; ``bf16`` on a CPU, by oneDNN.
    """

    threads: Threads | None = None
    onednn: bool | Literal["auto"] = "auto"
    onednn_cache_capacity: Annotated[int, Field(ge=1)] = 10
    new_ir: bool = True
    new_executor: bool = True
    precision: Literal["fp32", "bf16"] = "fp32"


@dataclass
class _Loaded:
    predictor: Any
    input: Any
    output: Any

    def infer(self, batch: NetworkInput) -> Probabilities:
        self.input.reshape(batch.shape)
        self.input.copy_from_cpu(batch)
        self.predictor.run()
        probabilities: Probabilities = self.output.copy_to_cpu()
        return probabilities


class PaddleBackend(Backend):
    """Paddle Inference on CPU or an NVIDIA GPU, from ``inference.json`` or ``inference.pdmodel``."""

    name = SPEC.name
    options_type = PaddleOptions
    foreign_errors: ClassVar[tuple[type[Exception], ...]] = (*Backend.foreign_errors, SystemError, IndexError)
    options: PaddleOptions

    def __init__(self, model: Model, device: str | None = None, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(model, device, options)
        self._check_together()
        self._loaded: _Loaded | None = None

    def _open(self) -> Effective:
        if not (self.model.files.paddle_graph and self.model.files.paddle_parameters):
            raise ModelNotFound(
                self.model.path,
                "inference.json or inference.pdmodel for the backend 'paddle'; it does not run ONNX",
            )
        graph = self.model.files.paddle_graph
        if graph.suffix == ".json" and not (self.options.new_ir and self.options.new_executor):
            raise BackendMismatch(
                self.name,
                "new_ir=False or new_executor=False",
                f"{graph.name} is PIR, which only the new executor runs",
            )
        _refuse_what_crashes_paddle(graph)
        check_parameters(self.model.files.paddle_parameters, graph, self.model.graph.parameters)
        if self._may_use_gpu:
            forbid_tf32(self.name)  # before Paddle loads NVIDIA's libraries
        paddle = _import_paddle()
        device = self._choose_device(paddle)
        if self.options.precision == "bf16" and device.kind != "cpu":
            raise BackendMismatch(self.name, "precision bf16", f"oneDNN has it, and not {device}; ask for device 'cpu'")
        onednn = False
        notes: tuple[str, ...] = ()
        if device.kind == "cpu" and self.options.onednn:
            self._loaded, notes = self._load_onednn(paddle, device)
            onednn = self._loaded is not None
        if self._loaded is None:
            self._loaded = self._load(paddle, device, onednn=False)
        return Effective(
            backend=self.name,
            engine_version=str(paddle.__version__),
            device=str(device),
            precision=self.options.precision,
            threads=self._threads if device.kind == "cpu" else 0,
            settings={
                "onednn": onednn,
                "new_ir": self.options.new_ir,
                "new_executor": self.options.new_executor,
                **({"tf32": False, **_gpu_settings(paddle, device.index)} if device.kind == "gpu" else {}),
            },
            notes=notes,
        )

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        assert widths is None and contents is None  # noqa: S101, PT018 - no Paddle graph takes them
        assert self._loaded is not None  # noqa: S101 - open, as run() checked
        return self._reduce(self._loaded.infer(batch), margin)

    def _close(self) -> None:
        self._loaded = None

    @property
    def _threads(self) -> int:
        return self.options.threads or usable_cores()

    @property
    def _may_use_gpu(self) -> bool:
        if self.device is None:
            return not gpu_reason(self.name, {}, "gpu:0")
        return self.device.kind == "gpu"

    def _check_together(self) -> None:
        if self.options.precision == "bf16" and not self.options.onednn:
            raise OptionError("precision", "received 'bf16'; Paddle runs it by oneDNN on a CPU, so leave onednn: auto")

    def _choose_device(self, paddle: Any) -> Device:  # noqa: ANN401 - Paddle is untyped
        if self.device == Device("cpu"):  # not counted in vain: that starts CUDA, which then fails in forked children
            return self.device
        cuda = bool(paddle.device.is_compiled_with_cuda())
        count = paddle.device.cuda.device_count() if cuda else 0
        if self.device is None:
            return Device("gpu") if count else Device("cpu")
        if self.device.kind not in {"cpu", "gpu"}:
            raise BackendMismatch(self.name, f"device {self.device}", "this backend knows 'cpu' and 'gpu'")
        if self.device.kind == "gpu" and self.device.index >= count:
            found = f"Paddle sees {count} GPUs" if cuda else "the installed Paddle is built without CUDA"
            raise BackendMismatch(self.name, f"device {self.device}", found)
        return self.device

    def _load_onednn(self, paddle: Any, device: Device) -> tuple[_Loaded | None, tuple[str, ...]]:  # noqa: ANN401
        # Some graphs load with oneDNN and fail at their first run (Paddle 3.3: NotImplementedError,
        # ConvertPirAttribute2RuntimeAttribute ... ArrayAttribute), so loading alone proves nothing.
        spec, bf16 = self.model.spec, self.options.precision == "bf16"
        probe = np.zeros(
            (spec.rows or 1, spec.channels, spec.height, spec.stretch_width or spec.base_width), np.float32
        )
        try:
            loaded = self._load(paddle, device, onednn=True, bf16=bf16)
            loaded.infer(probe)
        except self.foreign_errors as error:
            refusal = " ".join(str(error).split())[-300:]
            if self.options.onednn is True or bf16:
                raise BackendMismatch(self.name, "oneDNN", f"oneDNN refuses this graph: {refusal}") from error
            return None, (f"oneDNN refused this graph, plain Paddle runs instead: {refusal}",)
        if bf16:
            # Paddle goes on in FP32 where the CPU has no BF16, and tells nobody; only what it computes shows that.
            line = np.random.default_rng(0).uniform(-1, 1, probe.shape).astype(np.float32)
            if np.array_equal(loaded.infer(line), self._load(paddle, device, onednn=True).infer(line)):
                raise BackendMismatch(self.name, "precision bf16", "Paddle computes the same as in FP32 on this CPU")
        return loaded, ()

    def _load(self, paddle: Any, device: Device, *, onednn: bool, bf16: bool = False) -> _Loaded:  # noqa: ANN401
        if device.kind == "gpu":
            _forbid_paddle_tf32(paddle)
        return _loaded(paddle.inference, self._config(paddle.inference, device, onednn=onednn, bf16=bf16))

    def _config(self, inference: Any, device: Device, *, onednn: bool, bf16: bool) -> Any:  # noqa: ANN401
        config = inference.Config(str(self.model.files.paddle_graph), str(self.model.files.paddle_parameters))
        config.disable_glog_info()
        if device.kind == "gpu":
            config.enable_use_gpu(_GPU_POOL_MB, device.index, inference.PrecisionType.Float32)
            if not config.use_gpu() or config.gpu_device_id() != device.index:
                raise BackendMismatch(self.name, f"device {device}", "Paddle Inference does not take it")
        else:
            config.disable_gpu()
            config.set_cpu_math_library_num_threads(self._threads)
        if onednn:
            config.enable_mkldnn()
            config.set_mkldnn_cache_capacity(self.options.onednn_cache_capacity)
            if bf16:
                config.enable_mkldnn_bfloat16()
        else:
            config.disable_mkldnn()
        config.enable_new_ir(self.options.new_ir)
        config.enable_new_executor(self.options.new_executor)
        config.set_optimization_level(3)
        config.enable_memory_optim()
        return config


def _loaded(inference: Any, config: Any) -> _Loaded:  # noqa: ANN401
    predictor = inference.create_predictor(config)
    return _Loaded(
        predictor,
        predictor.get_input_handle(predictor.get_input_names()[0]),
        predictor.get_output_handle(predictor.get_output_names()[0]),
    )


def _refuse_what_crashes_paddle(graph: Path) -> None:
    """Paddle reports truncated files, but dies of a ``.pdmodel`` that never was one (a web page, a Git LFS pointer)."""
    if graph.suffix == ".pdmodel":
        with graph.open("rb") as file:
            head = file.read(32)
        if not head.startswith(_PROGRAM_DESC_BLOCKS):
            raise ModelFormatError(graph, "program", f"not a Paddle program; it begins with {head!r}. Fetch it anew")


def _import_paddle() -> Any:  # noqa: ANN401 - Paddle is untyped
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about compilers, which inference does not need
            import paddle  # noqa: PLC0415 - engines are imported only by the backend that is opened
            import paddle.inference  # noqa: PLC0415
    except ImportError as error:
        raise BackendUnavailable(SPEC.name, f"it does not import: {error}", SPEC.install) from error
    return paddle


def _forbid_paddle_tf32(paddle: Any) -> None:  # noqa: ANN401
    """Turn TF32 off where this Paddle has settings for it; older ones obey the environment alone."""
    for flag in _TF32_FLAGS:
        with contextlib.suppress(ValueError):  # a flag that this version does not know
            paddle.set_flags({flag: False})


def _gpu_settings(paddle: Any, index: int) -> dict[str, Any]:  # noqa: ANN401
    """Return name and compute capability of the GPU, as Paddle tells them."""
    capability = paddle.device.cuda.get_device_capability(index)
    return {
        "gpu": str(paddle.device.cuda.get_device_name(index)),
        "compute_capability": ".".join(str(part) for part in capability),
    }
