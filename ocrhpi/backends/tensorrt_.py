"""Backend ``tensorrt``: NVIDIA TensorRT 8.5 to 11 from exported ONNX, with a profile for each width bucket."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from ocrhpi.backends.base import Backend, Effective
from ocrhpi.backends.onnx_io import GraphInterface, onnx_file
from ocrhpi.backends.registry import BackendSpec, GpuWay
from ocrhpi.backends.trt.build import BuildSettings, shares_profiles, typing_of
from ocrhpi.backends.trt.engine_cache import load_engine
from ocrhpi.backends.trt.execution import EngineTensors, import_cuda_runtime
from ocrhpi.backends.trt.gpu import open_gpu
from ocrhpi.backends.trt.names import INSTALL, NAME, version_of
from ocrhpi.backends.trt.options import TensorRtOptions
from ocrhpi.backends.trt.precisions import inspect_precisions, verify_precision
from ocrhpi.backends.trt.request import EnginePlan, place, plan_profiles
from ocrhpi.backends.trt.session import Session
from ocrhpi.errors import BackendMismatch, BackendUnavailable, BatchError
from ocrhpi.model.graph_facts import read_onnx_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ocrhpi.backends.trt.names import CudaDriver, CudaRuntime, TensorRt
    from ocrhpi.backends.trt.request import Placement, Profile
    from ocrhpi.model import Model
    from ocrhpi.values import Contents, Emissions, NetworkInput, Widths

SPEC = BackendSpec(
    name=NAME,
    target="ocrhpi.backends.tensorrt_:TensorRtBackend",
    modules=("tensorrt", "pycuda"),
    distributions=("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu11", "nvidia-tensorrt"),
    install=INSTALL,
    onnx_head="argmax",
    graph_precisions=("fp16",),
    shape_option=True,
    devices=("gpu",),
    batch_options=("requests",),
    gpu_ways=(GpuWay(module="tensorrt", hint=INSTALL),),
    order=3,
    unverified="all of it",
)

_OLDEST = (8, 5)  # has tensors by name
_log = logging.getLogger("ocrhpi.tensorrt")


@dataclass(frozen=True)
class _Opened:
    """What an open backend holds."""

    session: Session
    interface: GraphInterface
    profiles: tuple[Profile, ...]


class TensorRtBackend(Backend):
    """TensorRT on one NVIDIA GPU."""

    name = NAME
    options_type = TensorRtOptions
    # pycuda's errors derive from Exception alone, and to name them one would have to import it.
    foreign_errors: ClassVar[tuple[type[Exception], ...]] = (Exception,)
    options: TensorRtOptions

    def __init__(self, model: Model, device: str | None = None, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(model, device, options)
        self._opened: _Opened | None = None

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
            rows: Lines of the batch, no more than its profile takes.
            width: Their width in pixels, one of the profiles'.
            calls: How many to time.

        Returns:
            Milliseconds that the kernels of each run take on the GPU.
        """
        assert self._opened is not None  # noqa: S101 - open
        return self._opened.session.device_ms(self._place(width, self._opened), rows, calls)

    def _open(self) -> Effective:
        file = onnx_file(self.model, self.name)
        self._check_graph(file)
        trt, cuda = _import_tensorrt()
        self._check_version(trt)
        cudart = self._cuda_runtime()
        gpu = open_gpu(cuda, self.device)
        settings = self._build_settings()
        with gpu.current():
            loaded = load_engine(trt, gpu, file, settings, self.model.name)
            precisions = inspect_precisions(trt, loaded.engine)
            notes = (*loaded.notes, *verify_precision(precisions, self.options.precision))
            tensors = EngineTensors.read(trt, loaded.engine)
            names = ([{name} for name in side] for side in (tensors.inputs, tensors.outputs))
            interface = GraphInterface.read(file, *names)
            plan = EnginePlan(trt, cuda, cudart, loaded.engine, tensors, settings.profiles, settings.height)
            session = Session(gpu, plan, self.parallel_requests, self._note)
        self._opened = _Opened(session, interface, settings.profiles)
        asked = {"requests", "cuda_graphs", "optimization_level", "workspace_mib", "hardware_compatibility"}
        return Effective(
            backend=self.name,
            engine_version=str(trt.__version__),
            device=f"gpu:{gpu.index}",
            precision=self.options.precision,
            threads=0,
            settings={
                "gpu": f"{gpu.name}, compute capability {gpu.compute_capability}",
                "profiles": [str(profile) for profile in settings.profiles],
                "layers": None if precisions is None else precisions.shares,
                "typing": typing_of(trt),
                "engine": "cached" if loaded.cached else "built",
                "build_seconds": round(loaded.build_seconds, 1),
                "activation_mib": round(session.activation_bytes / 2**20, 1),
                **self.options.model_dump(include=asked),
            },
            notes=notes,
        )

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        opened = self._opened
        assert opened is not None  # noqa: S101 - open, as run() checked
        placement = self._place(batch.shape[2 if opened.interface.pixels else 3], opened)
        arrays = opened.interface.inputs(batch, widths, contents)
        return opened.session.run(
            placement, arrays, lambda outputs: opened.interface.emissions(outputs, partial(self._reduce, margin=margin))
        )

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.session.close()
        self._opened = None

    def _place(self, width: int, opened: _Opened) -> Placement:
        placement = place(width, opened.profiles, may_pad=opened.interface.masked)
        if placement is None:
            known = ", ".join(str(profile) for profile in opened.profiles)
            expected = f"a width of the profiles {known} (lines x pixels); the option 'shapes' prepares for others"
            raise BatchError(self.name, f"a batch {width} pixels wide", expected)
        return placement

    def _check_graph(self, file: Path) -> None:
        """TensorRT takes the precision from the graph, so that must have the one asked for."""
        found = read_onnx_metadata(file).get("precision", "fp32")
        if found != self.options.precision:
            got = f"the graph {file} is {found}; export it in that precision, or change the option"
            raise BackendMismatch(self.name, f"precision {self.options.precision}", got)

    def _check_version(self, trt: TensorRt) -> None:
        if version_of(trt) < _OLDEST:
            raise BackendUnavailable(self.name, f"TensorRT {trt.__version__} is too old, 8.5 is the oldest", INSTALL)
        if shares_profiles(trt):
            return
        for option, default in (("requests", 1), ("cuda_graphs", False)):
            value = getattr(self.options, option)
            if value != default:
                got = f"in TensorRT {trt.__version__} a profile serves one execution context; that takes 8.6 or newer"
                raise BackendMismatch(self.name, f"{option}={value}", got)

    def _cuda_runtime(self) -> CudaRuntime | None:
        if not self.options.cuda_graphs:
            return None
        try:
            return import_cuda_runtime()
        except ImportError as error:
            got = f"cuda-bindings does not import ({error}); install it with: pip install cuda-bindings"
            raise BackendMismatch(self.name, "cuda_graphs", got) from error

    def _build_settings(self) -> BuildSettings:
        options, spec = self.options, self.model.spec
        return BuildSettings(
            precision=options.precision,
            profiles=plan_profiles(options.shapes, spec),
            height=spec.height,
            optimization_level=options.optimization_level,
            workspace_mib=options.workspace_mib,
            hardware_compatibility=options.hardware_compatibility,
            seconds=options.build_seconds,
        )

    def _note(self, problem: str) -> None:
        """Add a note to what really runs."""
        _log.warning("TensorRT: %s", problem)
        if self._effective is not None and problem not in self._effective.notes:
            self._effective = replace(self._effective, notes=(*self._effective.notes, problem))


def _import_tensorrt() -> tuple[TensorRt, CudaDriver]:
    try:
        import pycuda.driver as cuda  # noqa: PLC0415 - engines are imported only by the backend that is opened
        import tensorrt  # noqa: PLC0415
    except (ImportError, OSError) as error:
        # Both install without NVIDIA's own libraries (libcuda, libnvinfer), and fail when they load them.
        reason = f"tensorrt and pycuda do not import with the libraries they need: {error}"
        raise BackendUnavailable(NAME, reason, INSTALL) from error
    return tensorrt, cuda
