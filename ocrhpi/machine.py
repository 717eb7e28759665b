"""What this host offers, found without importing an engine."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["usable_cores"]

_CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1 = (Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us"))


def usable_cores() -> int:
    """Return how many CPU cores this process may keep busy, at least 1.

    The smallest of: cores of the machine, CPU affinity of the process, CPU quota of its cgroup (rounded up).
    In a container with a quota, engines that start one thread per physical core are slower, not faster.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # missing on macOS and Windows
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, min(cores, math.ceil(quota) if quota else cores))


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
