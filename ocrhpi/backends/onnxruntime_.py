"""Backend ``onnxruntime``: ONNX Runtime on a CPU, or on an NVIDIA GPU by CUDA or TensorRT for RTX."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from ocrhpi.backends.base import Backend, Effective
from ocrhpi.backends.device import Device
from ocrhpi.backends.gpu import gpu_reason
from ocrhpi.backends.onnx_io import onnx_file
from ocrhpi.backends.ort.libraries import CUDA_MODULE, RTX_MODULE
from ocrhpi.backends.ort.options import (
    GPU_PROVIDERS,
    INSTALL,
    INSTALL_GPU,
    INSTALL_RTX,
    NAME,
    OnnxRuntimeOptions,
    check_together,
)
from ocrhpi.backends.ort.running import GraphRunner, SessionRunner
from ocrhpi.backends.ort.sessions import Request, open_session
from ocrhpi.backends.registry import BackendSpec, GpuWay
from ocrhpi.errors import BackendError, BackendMismatch, BackendUnavailable, ModelFormatError
from ocrhpi.model.graph_facts import read_onnx_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ocrhpi.backends.ort.options import OnnxRuntime, Provider
    from ocrhpi.backends.ort.sessions import Opened
    from ocrhpi.model import Model
    from ocrhpi.values import Contents, Emissions, NetworkInput, Widths

_CUDA_WAY = GpuWay("cuda", "onnxruntime-gpu", CUDA_MODULE, f"{INSTALL_GPU}, in place of the package 'onnxruntime'")
SPEC = BackendSpec(
    name=NAME,
    target="ocrhpi.backends.onnxruntime_:OnnxRuntimeBackend",
    modules=("onnxruntime",),
    distributions=("onnxruntime", "onnxruntime-gpu"),
    install=INSTALL,
    onnx_head="argmax",
    graph_precisions=("fp16",),
    shape_option=True,
    lowered_graphs=True,
    threads_option="threads",
    by_cuda=True,
    batch_options=("requests",),
    paddlex_names={"cpu_num_threads": "threads"},
    gpu_ways=(
        _CUDA_WAY,
        GpuWay("tensorrt-rtx", module=RTX_MODULE, hint=INSTALL_RTX),
    ),
    order=2,
    unverified="NVIDIA GPUs, by CUDA and by TensorRT for RTX",
)

_CPU_SETTINGS = ("inter_op", "spinning", "graph_level", "arena", "requests")
_GPU_SETTINGS = {
    "cuda": ("conv_search", "conv_workspace", "nhwc", "cuda_graphs", "pinned", "gpu_memory_mib", "gpu_arena_growth"),
    "tensorrt-rtx": ("cuda_graphs", "pinned"),
}


class OnnxRuntimeBackend(Backend):
    """ONNX Runtime with its CPU provider or one of those for NVIDIA GPUs."""

    name = NAME
    options_type = OnnxRuntimeOptions
    # Its errors derive from Exception alone, and to name them one would have to import it.
    foreign_errors: ClassVar[tuple[type[Exception], ...]] = (Exception,)
    options: OnnxRuntimeOptions

    def __init__(self, model: Model, device: str | None = None, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(model, device, options)
        check_together(self.options, self.device)
        self._opened: Opened | None = None
        self._runner: SessionRunner | None = None

    @property
    def parallel_requests(self) -> int:
        """The option ``requests``."""
        return self.options.requests

    @property
    def masked(self) -> bool:
        """Whether the graph takes ``widths``."""
        return self._opened is not None and self._opened.interface.masked

    @property
    def takes_pixels(self) -> bool:
        """Whether the graph takes ``contents``."""
        return self._opened is not None and self._opened.interface.pixels

    def device_ms(self, rows: int, width: int, calls: int) -> list[float]:
        """Time the engine without the copies, for profiles.

        Args:
            rows: Lines of the batch.
            width: Their width in pixels.
            calls: How many to time.

        Returns:
            Milliseconds of each run whose inputs and outputs stay on the device.
        """
        assert self._runner is not None  # noqa: S101 - open
        return self._runner.device_ms(rows, width, calls)

    def _open(self) -> Effective:
        file = onnx_file(self.model, self.name)
        self._check_precision(file)
        onnxruntime = _import_onnxruntime()
        provider, device = self._choose()
        notes: tuple[str, ...] = ()
        try:
            request = Request(onnxruntime, self.model, file, provider, device, self.options)
            opened = open_session(request)
        except BackendError as error:
            if self.device is not None or provider == "cpu" or self.options.provider != "auto":
                raise
            notes = (f"no device was asked for; the CPU runs, since the GPU failed: {error}",)
            request = Request(onnxruntime, self.model, file, "cpu", Device("cpu"), self.options)
            opened = open_session(request)
        graphs = self.options.cuda_graphs and request.provider != "cpu"
        self._runner = (GraphRunner if graphs else SessionRunner)(request, opened)
        self._opened = opened
        return self._effective_of(request, opened, (*notes, *opened.notes, *self._warm_up(request)))

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        assert self._opened is not None  # noqa: S101 - open, as run() checked
        assert self._runner is not None  # noqa: S101
        interface = self._opened.interface
        return interface.emissions(
            self._runner.run(interface.inputs(batch, widths, contents)), partial(self._reduce, margin=margin)
        )

    def _close(self) -> None:
        if self._runner is not None:
            self._runner.close()
        self._runner = self._opened = None

    def _check_precision(self, file: Path) -> None:
        try:
            found = read_onnx_metadata(file).get("precision", "fp32")
        except ModelFormatError as error:
            raise BackendError(self.name, f"could not load {file}: {error}") from error
        if found != self.options.precision:
            asked = f"precision {self.options.precision}"
            raise BackendMismatch(self.name, asked, f"the graph {file} is {found}; leave out 'precision', or export it")

    def _choose(self) -> tuple[Provider, Device]:
        """Return the provider and the device to try."""
        asked, provider = self.device, self.options.provider
        if asked is None:
            if provider == "auto":
                provider = "cuda" if not gpu_reason(NAME, {"provider": "cuda"}, "gpu:0") else "cpu"
            asked = Device("gpu" if provider in GPU_PROVIDERS else "cpu")
        if asked.kind not in {"cpu", "gpu"} or (asked.kind == "cpu" and asked.index):
            raise BackendMismatch(self.name, f"device {asked.kind}:{asked.index}", "it knows 'cpu' and 'gpu:INDEX'")
        if provider == "auto":
            provider = "cuda" if asked.kind == "gpu" else "cpu"
        return provider, asked

    def _warm_up(self, request: Request) -> tuple[str, ...]:
        """Run the fixed shapes on a GPU, at least one; return a note if time did not allow for all."""
        if request.provider == "cpu":
            return ()
        assert self._runner is not None  # noqa: S101 - made before
        left = self._runner.warm_up(self.options.warm_up_s)
        if not left:
            return ()
        return (f"{len(left)} of the fixed shapes were not run within {self.options.warm_up_s:g} s of warm-up",)

    def _effective_of(self, request: Request, opened: Opened, notes: tuple[str, ...]) -> Effective:
        session, on_cpu = opened.session, request.provider == "cpu"
        settings: dict[str, Any] = {
            "provider": request.provider,
            "providers": session.get_providers(),
            **self.options.model_dump(include=set(_CPU_SETTINGS)),
        }
        if opened.gpu is not None and opened.placement is not None:
            settings |= {
                "gpu": opened.gpu.name,
                "compute_capability": opened.gpu.compute_capability,
                "nodes": {name: sum(nodes.values()) for name, nodes in opened.placement.items()},
                **self.options.model_dump(include=set(_GPU_SETTINGS[request.provider])),
            }
        if on_cpu and self.options.precision == "fp16":
            notes = (*notes, "where ONNX Runtime has no FP16 kernel for this CPU, it computes in FP32 between casts")
        return Effective(
            backend=self.name,
            engine_version=str(request.onnxruntime.__version__),
            device=str(request.device),
            precision=self.options.precision,
            threads=session.get_session_options().intra_op_num_threads if on_cpu else 0,
            settings=settings,
            notes=notes,
        )


def _import_onnxruntime() -> OnnxRuntime:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a GPU that is not there; whoever asks for it gets an error
            import onnxruntime  # noqa: PLC0415 - engines are imported only by the backend that is opened
    except ImportError as error:
        raise BackendUnavailable(NAME, f"it does not import: {error}", INSTALL) from error
    return onnxruntime
