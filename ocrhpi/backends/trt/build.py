"""ONNX -> TensorRT engine: the network is typed as the graph is, and FP32 means FP32.

How far a build is, is said in the log now and then, and there is a limit to how long it may take.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ocrhpi.backends.trt.names import NAME, shared_log, version_of
from ocrhpi.backends.trt.precisions import constrain_precisions
from ocrhpi.backends.trt.request import input_shape
from ocrhpi.errors import BackendError, BackendMismatch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ocrhpi.backends.trt.names import Builder, BuilderConfig, Network, TensorRt, TrtLog
    from ocrhpi.backends.trt.request import Profile
    from ocrhpi.values import GraphPrecision

_INTERVAL_S = 5.0
_log = logging.getLogger("ocrhpi.tensorrt")


class BuildMonitor(Protocol):
    """A ``tensorrt.IProgressMonitor`` with a limit."""

    expired: bool
    """Whether the build was stopped at the limit."""
    interrupted: bool
    """Whether it was stopped from the keyboard."""


def log_progress(phase: str, done: int, steps: int) -> None:
    """Report to the log."""
    _log.info("TensorRT builds: %s, %d of %d", phase, done, steps)


def make_monitor(trt: TensorRt, seconds: float | None, report: Callable[[str, int, int], None]) -> BuildMonitor | None:
    """Return a monitor for one build; None where TensorRT (before 10) knows no monitors and cannot be stopped.

    Args:
        trt: The module ``tensorrt``.
        seconds: The build is stopped after so many; None: never.
        report: Gets the name of a phase, its steps done and its steps, every few seconds.
    """
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.expired = False
            self.interrupted = False
            self._started = self._said = time.monotonic()
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:  # noqa: ARG002
            self._steps[phase_name] = num_steps

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            """Return whether to go on."""
            try:
                now = time.monotonic()
                if now - self._said >= _INTERVAL_S:
                    self._said = now
                    report(phase_name, step + 1, self._steps.get(phase_name, step + 1))
                if seconds is not None and now - self._started > seconds:
                    self.expired = True
            except KeyboardInterrupt:  # would be lost in TensorRT, which calls this
                self.interrupted = True
            return not (self.expired or self.interrupted)

    monitor: BuildMonitor = Monitor()
    return monitor


HardwareCompatibility = Literal["none", "ampere_plus"]

_STRONG_TYPING_ONLY = (11, 0)
_EXPLICIT_BATCH_ONLY = (10, 0)


@dataclass(frozen=True)
class BuildSettings:
    """What an engine is built for.

    Attributes:
        precision: Precision that the graph has.
        profiles: Shapes to come, from narrow to wide.
        height: Height in pixels of the lines.
        optimization_level: 0 (quick to build) to 5 (quick to run); None: TensorRT's default, 3.
        workspace_mib: Most memory that a layer may use while it runs; None: what the GPU has.
        hardware_compatibility: ``ampere_plus``: the engine runs on all GPUs from Ampere on, and more slowly.
        seconds: The build is stopped after so many; None: never.
    """

    precision: GraphPrecision
    profiles: tuple[Profile, ...]
    height: int
    optimization_level: int | None = None
    workspace_mib: int | None = None
    hardware_compatibility: HardwareCompatibility = "none"
    seconds: float | None = None


@dataclass(frozen=True)
class Built:
    """A new engine.

    Attributes:
        engine: The serialised engine.
        seconds: How long the build took.
    """

    engine: bytes
    seconds: float


def typing_of(trt: TensorRt) -> Literal["strong", "constraints"]:
    """Say how layers get their precisions: by the types of the graph, or before TensorRT 9 by constraints."""
    flags = getattr(trt, "NetworkDefinitionCreationFlag", None)
    strong = version_of(trt) >= _STRONG_TYPING_ONLY or hasattr(flags, "STRONGLY_TYPED")
    return "strong" if strong else "constraints"


def shares_profiles(trt: TensorRt) -> bool:
    """Whether several execution contexts may use one profile: from 8.6 on, where it must be asked for before 10."""
    return version_of(trt) >= _EXPLICIT_BATCH_ONLY or hasattr(trt.PreviewFeature, "PROFILE_SHARING_0806")


def build_engine(
    trt: TensorRt,
    file: Path,
    settings: BuildSettings,
    timings: bytes = b"",
    keep_timings: Callable[[bytes], None] | None = None,
    report: Callable[[str, int, int], None] = log_progress,
) -> Built:
    """Build an engine of the ONNX file ``file`` on the GPU whose context is current.

    Args:
        trt: The module ``tensorrt``.
        file: The graph.
        settings: What for.
        timings: Serialised timing cache of earlier builds on this GPU.
        keep_timings: Gets the timing cache afterwards, also that of a build which was stopped.
        report: Gets the progress, see `ocrhpi.backends.trt.build`.

    Raises:
        BackendError: TensorRT cannot parse or build it, or not in time; the text has its own last errors.
        BackendMismatch: This TensorRT lacks a setting that was asked for.
    """
    log = shared_log(trt)
    mark, started = log.mark(), time.monotonic()
    builder = trt.Builder(log)
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, log)  # holds the weights until the engine is built
    if not parser.parse_from_file(str(file)):
        raise BackendError(NAME, f"TensorRT cannot parse {file}: {_parse_errors(parser) or log.errors_since(mark)}")
    config = _configure(trt, builder, network, settings, timings, log)
    monitor = make_monitor(trt, settings.seconds, report)
    if monitor is not None:
        config.progress_monitor = monitor
    _log.info("TensorRT %s builds an engine of %s; it is kept for the next time", trt.__version__, file.name)
    plan = builder.build_serialized_network(network, config)
    seconds = time.monotonic() - started
    if keep_timings is not None:
        _hand_over_timings(config, keep_timings)
    if monitor is not None and monitor.interrupted:
        raise KeyboardInterrupt
    if plan is None and monitor is not None and monitor.expired:
        raise BackendError(NAME, _too_slow(settings, file))
    if plan is None:
        errors = log.errors_since(mark) or "it gives no reason"
        raise BackendError(NAME, f"TensorRT cannot build an engine of {file}: {errors}")
    return Built(bytes(memoryview(plan)), seconds)


def _network_flags(trt: TensorRt) -> int:
    """Return the bits of the flags that this version needs; later ones imply them."""
    version, bits = version_of(trt), 0
    if version < _EXPLICIT_BATCH_ONLY:
        bits |= 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
    if version < _STRONG_TYPING_ONLY and typing_of(trt) == "strong":
        bits |= 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    return bits


def _configure(
    trt: TensorRt,
    builder: Builder,
    network: Network,
    settings: BuildSettings,
    timings: bytes,
    log: TrtLog,
) -> BuilderConfig:
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # on by default, and not FP32
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # or the inspector tells names only
    if typing_of(trt) == "constraints" and settings.precision == "fp16":
        config.set_flag(trt.BuilderFlag.FP16)
        config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
        constrain_precisions(trt, network)
    if shares_profiles(trt) and version_of(trt) < _EXPLICIT_BATCH_ONLY:
        config.set_preview_feature(trt.PreviewFeature.PROFILE_SHARING_0806, True)  # noqa: FBT003 - TensorRT's
    if settings.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mib << 20)
    _set_options(trt, config, settings)
    _use_timings(config, timings)
    _add_profiles(builder, network, config, settings, log)
    return config


def _set_options(trt: TensorRt, config: BuilderConfig, settings: BuildSettings) -> None:
    """Set what came with TensorRT 8.6."""
    if settings.optimization_level is not None:
        if not hasattr(config, "builder_optimization_level"):
            raise _lacks(trt, f"optimization_level={settings.optimization_level}")
        config.builder_optimization_level = settings.optimization_level
    if settings.hardware_compatibility != "none":
        if not hasattr(config, "hardware_compatibility_level"):
            raise _lacks(trt, f"hardware_compatibility={settings.hardware_compatibility!r}")
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS


def _lacks(trt: TensorRt, option: str) -> BackendMismatch:
    return BackendMismatch(NAME, option, f"TensorRT {trt.__version__} has no such setting, which takes 8.6 or newer")


def _add_profiles(
    builder: Builder,
    network: Network,
    config: BuilderConfig,
    settings: BuildSettings,
    log: TrtLog,
) -> None:
    inputs = [network.get_input(number) for number in range(network.num_inputs)]
    for tensor in inputs:
        if tensor.is_shape_tensor:
            problem = f"the input {tensor.name!r} decides shapes in this graph, which the exporter's never do"
            raise BackendError(NAME, problem)
    for profile in settings.profiles:
        mark = log.mark()
        shapes = builder.create_optimization_profile()
        accepted = -1
        with suppress(ValueError):  # of shapes that the graph does not have, such as for fixed dimensions
            for tensor in inputs:
                least = input_shape(tensor.name, 1, profile.narrowest, settings.height)
                most = input_shape(tensor.name, profile.lines, profile.width, settings.height)
                shapes.set_shape(tensor.name, least, most, most)
            accepted = config.add_optimization_profile(shapes)
        if accepted < 0:
            reason = log.errors_since(mark) or "the graph has other dimensions"
            raise BackendError(NAME, f"TensorRT refuses shapes of {profile} pixels for this graph: {reason}")


def _use_timings(config: BuilderConfig, timings: bytes) -> None:
    """Start from what earlier builds measured; a damaged or foreign cache is replaced by an empty one."""
    cache = config.create_timing_cache(timings)
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


def _hand_over_timings(config: BuilderConfig, keep: Callable[[bytes], None]) -> None:
    cache = config.get_timing_cache()
    serialised = None if cache is None else cache.serialize()
    if serialised is not None:
        keep(bytes(memoryview(serialised)))


def _parse_errors(parser: Any) -> str:  # noqa: ANN401 - TensorRT is untyped
    errors = [parser.get_error(number) for number in range(parser.num_errors)]
    return "; ".join(f"{error.desc()} (node {error.node()}, {error.func()})" for error in errors)


def _too_slow(settings: BuildSettings, file: Path) -> str:
    return (
        f"the build for {file.name} was stopped after build_seconds={settings.seconds:g}, with "
        f"{len(settings.profiles)} profiles; raise that option, lower optimization_level, or ask for fewer shapes. "
        "What was measured is kept, so the next build is quicker"
    )
