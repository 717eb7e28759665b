"""Which backends exist, and which of them this machine can use. Asking never imports an engine."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ocrhpi.errors import BackendError, BackendUnavailable, UnknownBackend

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ocrhpi.backends.base import Backend
    from ocrhpi.model import Model

__all__ = [
    "ENTRY_POINT_GROUP",
    "Availability",
    "BackendSpec",
    "availability",
    "backend_specs",
    "create_backend",
]

ENTRY_POINT_GROUP = "ocrhpi.backends"


@dataclass(frozen=True)
class BackendSpec:
    """What the registry knows about a backend without importing its engine.

    A third party puts an instance into a light module and names it in the entry-point group
    ``ocrhpi.backends``: ``myengine = "my_package.spec:SPEC"``.

    Attributes:
        name: Name of the backend, as in ``Backend.name``.
        target: Its class, ``"module:Class"``.
        modules: Modules that must be importable.
        distributions: Installed packages that may carry the engine; the first one present tells the version.
        install: The command that installs what is missing.
        onnx_head: For a backend that runs exported ONNX: the head that suits it best where nothing was measured, see
            `ocrhpi.export.heads`. None: it reads the files of the model directory itself.
        graph_precisions: Precisions that it gets by the graph: a candidate whose option ``precision`` is one of them is
            given a graph of that precision. Others are the engine's own business.
        shape_option: Whether it takes the option ``shapes``, (lines, width) pairs of the largest batches to come, so
            that it can prepare for them.
        shape_count_option: Whether it takes the option ``shape_count``, how many shapes will come.
        devices: Kinds of device that it may run on; on others it is no candidate. Empty: any.
        lowered_graphs: Whether it runs the graphs of `ocrhpi.precision`: a candidate whose option ``precision`` is one
            of `ocrhpi.precision.plan.LOWERED` is given the graph of that plan.
        fault: Why a third party's entry could not be read; None for a good one.
    """

    name: str
    target: str
    modules: tuple[str, ...]
    distributions: tuple[str, ...]
    install: str
    onnx_head: str | None = None
    graph_precisions: tuple[str, ...] = ()
    shape_option: bool = False
    shape_count_option: bool = False
    devices: tuple[str, ...] = ()
    lowered_graphs: bool = False
    fault: str | None = None

    @property
    def installed(self) -> tuple[str, ...]:
        """Those of `distributions` that are installed."""
        return tuple(name for name in self.distributions if next(_distributions(name), None))


@dataclass(frozen=True)
class Availability:
    """Whether a backend can be used here.

    Attributes:
        available: True if everything it needs is installed.
        version: Version of the engine's package, None if it is not installed.
        reason: Why it cannot be used; empty if it can.
    """

    available: bool
    version: str | None
    reason: str = ""


_BUILT_IN = (
    BackendSpec(
        name="paddle",
        target="ocrhpi.backends.paddle_:PaddleBackend",
        modules=("paddle",),
        distributions=("paddlepaddle", "paddlepaddle-gpu"),
        install="pip install 'ocrhpi[paddle]'",
    ),
    BackendSpec(
        name="openvino",
        target="ocrhpi.backends.openvino_:OpenVinoBackend",
        modules=("openvino",),
        distributions=("openvino",),
        install="pip install 'ocrhpi[openvino]'",
        onnx_head="full",
        shape_count_option=True,
        lowered_graphs=True,
    ),
    BackendSpec(
        name="onnxruntime",
        target="ocrhpi.backends.onnxruntime_:OnnxRuntimeBackend",
        modules=("onnxruntime",),
        distributions=("onnxruntime", "onnxruntime-gpu"),
        install="pip install 'ocrhpi[onnxruntime]'",
        onnx_head="argmax",
        graph_precisions=("fp16",),
        shape_option=True,
        lowered_graphs=True,
    ),
    BackendSpec(
        name="tensorrt",
        target="ocrhpi.backends.tensorrt_:TensorRtBackend",
        modules=("tensorrt", "pycuda"),
        distributions=("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu11", "nvidia-tensorrt"),
        install="pip install 'ocrhpi[tensorrt]'",
        onnx_head="argmax",
        graph_precisions=("fp16",),
        shape_option=True,
        devices=("gpu",),
    ),
)


def backend_specs() -> dict[str, BackendSpec]:
    """Return all registered backends, built in and of third parties, by name.

    Raises:
        BackendError: Two entries claim the same name.
    """
    specs = {spec.name: spec for spec in _BUILT_IN}
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        spec = _external(entry)
        if spec.name in specs:
            raise BackendError(spec.name, f"registered twice, the second time by the entry point {entry.value!r}")
        specs[spec.name] = spec
    return specs


def _external(entry: importlib.metadata.EntryPoint) -> BackendSpec:
    package = entry.dist.name if entry.dist else entry.module
    broken = BackendSpec(entry.name, entry.value, (), (package,), f"pip install --upgrade {package}")
    try:
        spec = entry.load()
    except Exception as error:  # noqa: BLE001 - a broken plug-in must not take the others with it
        return _with_fault(broken, f"its package {package!r} fails to load: {type(error).__name__}: {error}")
    if not isinstance(spec, BackendSpec):
        return _with_fault(broken, f"{entry.value!r} is a {type(spec).__name__}, expected a BackendSpec")
    return spec


def _with_fault(spec: BackendSpec, fault: str) -> BackendSpec:
    return replace(spec, fault=fault)


def availability(spec: BackendSpec) -> Availability:
    """Say whether the backend can be used, by looking for its modules, not by importing them."""
    if spec.fault:
        return Availability(available=False, version=None, reason=spec.fault)
    missing = [module for module in spec.modules if not _findable(module)]
    if missing:
        return Availability(available=False, version=None, reason=f"module {missing[0]!r} is not installed")
    return Availability(available=True, version=_version(spec))


def create_backend(
    name: str, model: Model, device: str | None = None, options: Mapping[str, Any] | None = None
) -> Backend:
    """Make the backend ``name`` for ``model``; it is not open yet.

    Raises:
        UnknownBackend: No such name is registered.
        BackendUnavailable: What it needs is not installed; the error says how to install it.
        OptionError: An option is unknown or does not fit.
    """
    specs = backend_specs()
    if name not in specs:
        raise UnknownBackend(name, specs)
    spec = specs[name]
    state = availability(spec)
    if not state.available:
        raise BackendUnavailable(name, state.reason, spec.install)
    module, _, attribute = spec.target.partition(":")
    backend: Backend = getattr(importlib.import_module(module), attribute)(model, device, options)
    return backend


def _findable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # a parent is missing, or sys.modules holds None for it
        return False


def _version(spec: BackendSpec) -> str | None:
    return next((found.version for name in spec.distributions for found in _distributions(name)), None)


def _distributions(name: str) -> Iterator[importlib.metadata.Distribution]:
    return iter(importlib.metadata.distributions(name=name))
