"""What can use a GPU here, told from installed packages and the machine, without importing an engine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrhpi.backends.device import parse_device
from ocrhpi.backends.registry import spec_of
from ocrhpi.machine import describe_machine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocrhpi.backends.registry import GpuWay

# Packages whose versions decide how fast, and how exactly, a GPU computes; the last row is CUDA's libraries.
_PACKAGES = (
    *("onnxruntime-gpu", "onnxruntime-ep-cuda13", "onnxruntime-ep-cuda12", "paddlepaddle-gpu", "tensorrt"),
    *("onnxruntime-ep-nv-tensorrt-rtx-cu13", "onnxruntime-ep-nv-tensorrt-rtx-cu12"),
    *("nvidia-cudnn-cu13", "nvidia-cudnn-cu12", "nvidia-cublas", "nvidia-cublas-cu12"),
)
_DRM = Path("/sys/class/drm")
_INTEL = "0x8086"

_NO_GPU = "no NVIDIA GPU with a loaded driver is found here; 'nvidia-smi' must list it, also within a container"


def gpu_reason(backend: str, options: Mapping[str, Any], device: str, machine: Mapping[str, Any] | None = None) -> str:
    """Say why ``backend`` cannot run on a GPU here.

    Args:
        backend: Its name. Where its spec tells no ways, nothing is known, so nothing is held against it.
        options: Its options; where it has several ways, ``provider`` decides.
        device: ``gpu:INDEX``.
        machine: As `ocrhpi.machine.describe_machine` says; None asks it.

    Returns:
        The reason and the cure; empty if none is known. The engine itself may still find one.
    """
    machine = describe_machine() if machine is None else machine
    ways = _ways_of(backend)
    provider = options.get("provider", "auto")
    way = next((way for way in ways if provider in {"auto", way.provider}), None)
    if way is None:
        return ""
    wanted = way.package or way.module
    if wanted and not (way.package and _installed(way.package)) and not (way.module and _findable(way.module)):
        return f"{wanted} is not installed: {way.hint}"
    if way.vendor == "intel":
        return "" if _has_intel_gpu() else f"{backend} runs on Intel's GPUs, and none is found here"
    return _reason_of_machine(parse_device(device).index, machine)


def gpu_usable(backend: str, machine: Mapping[str, Any] | None = None) -> bool:
    """Whether ``backend`` has a way to an NVIDIA GPU of this machine.

    Args:
        backend: Its name.
        machine: As in `gpu_reason`.
    """
    machine = describe_machine() if machine is None else machine
    providers = [way.provider for way in _ways_of(backend) if way.vendor == "nvidia"]
    return any(not gpu_reason(backend, {"provider": provider}, "gpu:0", machine) for provider in providers)


def gpu_packages() -> dict[str, str]:
    """Return the versions of the installed packages that decide how a GPU computes, for keys."""
    return {name: version for name in _PACKAGES if (version := _installed(name))}


def _ways_of(backend: str) -> tuple[GpuWay, ...]:
    spec = spec_of(backend)
    return () if spec is None else spec.gpu_ways


def _reason_of_machine(index: int, machine: Mapping[str, Any]) -> str:
    gpus = machine["gpus"]
    if not gpus:
        return _NO_GPU
    count = _visible(machine["gpu_visible"], len(gpus))
    if index >= count:
        hidden = "" if count == len(gpus) else f", {count} of which CUDA_VISIBLE_DEVICES shows"
        return f"gpu:{index} was asked for, and this machine has {len(gpus)} ({', '.join(gpus)}){hidden}"
    return ""


def _visible(setting: str | None, gpus: int) -> int:
    """Return how many GPUs CUDA shows: what ``CUDA_VISIBLE_DEVICES`` lists, up to the first that is none."""
    if setting is None:
        return gpus
    listed = [part.strip() for part in setting.split(",")]
    return next((at for at, part in enumerate(listed) if not part or part.startswith("-")), len(listed))


def _installed(package: str) -> str:
    """Return the version of a package; empty if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _findable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # sys.modules holds None for it
        return False


def _has_intel_gpu() -> bool:
    """Whether Linux names a GPU of Intel's; where it names none at all, OpenVINO may find out itself."""
    try:
        vendors = [path.read_text("ascii").strip() for path in _DRM.glob("renderD*/device/vendor")]
    except (OSError, UnicodeDecodeError):
        return True
    return _INTEL in vendors or (not vendors and sys.platform != "linux")
