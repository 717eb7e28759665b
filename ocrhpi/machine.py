"""What this host offers, found without importing an engine or starting a process."""

from __future__ import annotations

import math
import os
import platform
import re
from pathlib import Path
from typing import Any

_CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1 = (Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us"))
_CGROUP_MEMORY = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_CPU_INFO = Path("/proc/cpuinfo")
_NVIDIA = Path("/proc/driver/nvidia")
_DEVICES = Path("/dev")
# Where the driver puts its library: on Linux, mounted into containers, under WSL, and on Windows.
_DRIVER_FOLDERS = (
    *(Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib/aarch64-linux-gnu"), Path("/usr/lib64")),
    *(Path("/usr/local/nvidia/lib64"), Path("/usr/lib/wsl/lib")),
    Path(os.environ.get("SYSTEMROOT", "C:/Windows")) / "System32",
)
_DRIVER_LIBRARIES = ("libcuda.so.1", "nvcuda.dll")
_SOME_GPU = "NVIDIA GPU"

# The kernel writes one record a core, and asks each core for its clock to do so; the first record says all.
_FIRST_RECORD = 8192
_TELLING_FLAGS = (
    *("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8"),
    *("asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve", "sve2"),
)
_CPU_NUMBERS = {"family": "cpu family", "model": "model", "stepping": "stepping"}
_GIB = 1 << 30


def usable_cores() -> int:
    """Return how many CPU cores this process may keep busy, at least 1.

    The smallest of: cores of the machine, CPU affinity of the process, CPU quota of its cgroup (rounded up).
    In a container with a quota, engines that start one thread per physical core are slower, not faster.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # missing on macOS and Windows
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, min(cores, math.ceil(quota) if quota else cores))


def describe_machine() -> dict[str, Any]:
    """Return what decides how fast an engine is here, and which engines run at all, as plain values.

    What cannot be found out is None or empty; asking never raises and takes about a millisecond.

    Returns:
        ``cpu`` (name), ``cpu_flags`` (instruction sets that engines choose their kernels by), ``usable_cores``,
        ``memory_gib`` (of the machine or of its cgroup, rounded), ``os``, ``gpus`` (names of those of NVIDIA, without a
        name where the driver tells none), ``gpu_driver`` (its version), and ``gpu_visible`` (``CUDA_VISIBLE_DEVICES``,
        which decides what is ``gpu:0``; None where it is not set).
    """
    facts = _cpu_facts()
    flags = set((facts.get("flags") or facts.get("Features") or "").split())  # x86 and ARM
    gpus = _gpus()
    return {
        "cpu": _cpu_name(facts),
        "cpu_flags": [flag for flag in _TELLING_FLAGS if flag in flags],
        "usable_cores": usable_cores(),
        "memory_gib": _memory_gib(),
        "os": f"{platform.system()} {platform.machine()}",
        "gpus": gpus,
        "gpu_driver": _gpu_driver() if gpus else None,
        "gpu_visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }


def _cgroup_quota() -> float | None:
    """Return the CPU quota in cores, or None where there is none."""
    try:
        if _CGROUP_V2.is_file():
            quota, period = _CGROUP_V2.read_text("ascii").split()
        else:
            quota, period = (path.read_text("ascii").strip() for path in _CGROUP_V1)
        limit = float(quota) / float(period)  # cgroup v2 says "max", v1 says -1, where there is no quota
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return limit if limit > 0 else None


def _cpu_facts() -> dict[str, str]:
    """Return what ``/proc/cpuinfo`` says of the first core; empty where there is no such file."""
    try:
        with _CPU_INFO.open("rb", buffering=0) as file:
            start = (file.read(_FIRST_RECORD) or b"").decode("utf-8", "replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in start.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _cpu_name(facts: dict[str, str]) -> str:
    if "model name" in facts:
        # Clouds shorten the names, so that several generations are all called "AMD EPYC".
        numbers = [f"{part} {facts[key]}" for part, key in _CPU_NUMBERS.items() if key in facts]
        return f"{facts['model name']} ({', '.join(numbers)})" if numbers else facts["model name"]
    if "CPU part" in facts:  # ARM gives numbers for names
        return f"ARM implementer {facts.get('CPU implementer')} part {facts['CPU part']}"
    # Not platform.processor(): it starts a process.
    return os.environ.get("PROCESSOR_IDENTIFIER") or platform.machine()


def _memory_gib() -> int | None:
    limits = [_sysconf("SC_PHYS_PAGES") * _sysconf("SC_PAGE_SIZE"), *map(_number_in, _CGROUP_MEMORY)]
    known = [limit for limit in limits if limit > 0]
    return round(min(known) / _GIB) if known else None


def _sysconf(name: str) -> int:
    try:
        return os.sysconf(name)
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return 0


def _number_in(path: Path) -> int:
    """Return the number, or 0 without one; where memory is not limited, cgroup v2 says "max", v1 a huge number."""
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return 0


def _gpus() -> list[str]:
    """Return the names of NVIDIA's GPUs, in the order of their addresses on the bus."""
    try:
        found = sorted(_NVIDIA.glob("gpus/*/information"))
        names = [re.search(r"^Model:\s*(.+?)\s*$", path.read_text("utf-8", "replace"), re.MULTILINE) for path in found]
        if names:
            return [match[1] if match else "unknown" for match in names]
        # Containers may have the devices without the driver's files in /proc.
        devices = [path for path in _DEVICES.glob("nvidia[0-9]*") if path.name.removeprefix("nvidia").isdigit()]
    except OSError:
        return []
    if devices:
        return [_SOME_GPU] * len(devices)
    # WSL and Windows have neither; the driver's library is installed with the driver alone.
    elsewhere = (folder / name for folder in _DRIVER_FOLDERS[-2:] for name in _DRIVER_LIBRARIES)
    return [_SOME_GPU] if any(path.is_file() for path in elsewhere) else []


def _gpu_driver() -> str | None:
    try:
        text = (_NVIDIA / "version").read_text("utf-8", "replace")
        match = re.search(r"\b\d{3,}(?:\.\d+)+\b", text.partition("\n")[0])
        if match:
            return match[0]
    except OSError:
        pass
    # The library's file name ends in the version.
    versions = (
        path.name.removeprefix("libcuda.so.")
        for folder in _DRIVER_FOLDERS
        for path in sorted(folder.glob("libcuda.so.[0-9]*.[0-9]*"))
    )
    return next(versions, None)


def load_average() -> float | None:
    """Average number of busy processes in the last minute; None where the system does not count them."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None
