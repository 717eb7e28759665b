"""Which backends exist, what each says of itself, and which of them this machine can use.

A backend of this package is one module here whose name ends in an underscore, and which has a ``SPEC``; one of a third
party is an entry point that names a ``SPEC``. Asking imports these modules, and never an engine.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import pkgutil
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import ocrhpi.backends
from ocrhpi.errors import BackendError, BackendUnavailable, UnknownBackend

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from ocrhpi.backends.base import Backend
    from ocrhpi.model import Model

ENTRY_POINT_GROUP = "ocrhpi.backends"


@dataclass(frozen=True)
class GpuWay:
    """One way of a backend to a GPU; the package or the module is enough.

    Attributes:
        provider: Value of the backend's option ``provider`` that takes this way; empty: it has no such option.
        package: Distribution that has the engine for GPUs; empty: the module alone counts.
        module: Module that has it; empty: the package alone counts. If both are empty, nothing more is needed.
        hint: How to get it.
        vendor: Whose GPUs it goes to.
    """

    provider: str = ""
    package: str = ""
    module: str = ""
    hint: str = ""
    vendor: Literal["nvidia", "intel"] = "nvidia"


@dataclass(frozen=True)
class BackendSpec:
    """What all the rest knows of a backend, without importing its engine.

    A third party puts an instance into a light module and names it in the entry-point group
    ``ocrhpi.backends``: ``myengine = "my_package:SPEC"``; docs/write_a_backend.md has all of it.

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
        lowered_graphs: Whether it runs the graphs of `ocrhpi.quantization`: a candidate whose option ``precision`` is
            one of `ocrhpi.quantization.plan.LOWERED` is given the graph of that plan.
        fault: Why a third party's entry could not be read; None for a good one.
        threads_option: Name of its option for the number of CPU threads; None: unknown, so that it takes what it likes.
        runs_paddle: Whether it reads the Paddle files of a model itself, and runs no ONNX.
        by_cuda: Whether, where it is normal mode, it is that on an NVIDIA GPU, too: FP32 by plain CUDA.
        batch_options: Options that change nothing where lines come one at a time.
        paddlex_names: PaddleX's names of its options -> ours.
        gpu_ways: Its ways to GPUs; the first is taken where the option ``provider`` says nothing. Of a backend without
            any nothing is known, so nothing is held against it.
        grid: YAML file with what is worth measuring, in the form of ``backend_configs``; None: the one of its name that
            comes with this package, and without that the backend is tried as it is.
        order: Place among the backends of this package, which those of third parties follow.
        unverified: What of it has never run on hardware, as a phrase: tested with doubles only. Empty: nothing.
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
    threads_option: str | None = None
    runs_paddle: bool = False
    by_cuda: bool = False
    batch_options: tuple[str, ...] = ()
    paddlex_names: Mapping[str, str] = field(default_factory=dict)
    gpu_ways: tuple[GpuWay, ...] = ()
    grid: Path | None = None
    order: int = 100
    unverified: str = ""

    @property
    def installed(self) -> tuple[str, ...]:
        """Those of `distributions` that are installed."""
        return tuple(name for name in self.distributions if next(_distributions(name), None))

    def with_threads(self, threads: int | None) -> dict[str, Any]:
        """Return the options for so many CPU threads; none if there is no number, or no known option for it."""
        return {} if threads is None or self.threads_option is None else {self.threads_option: threads}


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


class _BuiltIn:
    """The backends of this package. Their modules are imported when they are first looked at, and then kept."""

    def __iter__(self) -> Iterator[BackendSpec]:
        return iter(_own_specs())


_BUILT_IN: Iterable[BackendSpec] = _BuiltIn()


@cache
def _own_specs() -> tuple[BackendSpec, ...]:
    package = ocrhpi.backends
    names = [module.name for module in pkgutil.iter_modules(package.__path__) if module.name.endswith("_")]
    specs = [importlib.import_module(f"{package.__name__}.{name}").SPEC for name in names]
    # Whose turn comes first is part of what a tuning is kept under, so it is not left to the file system.
    return tuple(sorted(specs, key=lambda spec: (spec.order, spec.name)))


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


def spec_of(name: str) -> BackendSpec | None:
    """Return what the backend ``name`` says of itself, None if there is none; quick for those of this package."""
    own = next((spec for spec in _BUILT_IN if spec.name == name), None)
    return own or backend_specs().get(name)


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
