"""The machine that was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from ocrhpi.machine import usable_cores

_CPU_INFO = Path("/proc/cpuinfo")
_TELLING_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def describe_machine() -> dict[str, Any]:
    """Return what decides how fast a CPU engine is, as plain values."""
    facts = _cpu_facts()
    flags = set(facts.get("flags", "").split())
    return {
        "cpu": facts.get("model name", platform.processor()),
        "cpu_flags": [flag for flag in _TELLING_FLAGS if flag in flags],
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _cpu_facts() -> dict[str, str]:
    if not _CPU_INFO.is_file():
        return {}
    first_core = _CPU_INFO.read_text("utf-8").split("\n\n")[0]
    pairs = (line.partition(":") for line in first_core.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
