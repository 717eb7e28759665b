"""The machine that was measured on."""

from __future__ import annotations

import os
import platform
from typing import Any

from ocrhpi import machine


def describe_machine() -> dict[str, Any]:
    """Return what decides how fast a CPU engine is, as plain values: ours, and what only a report needs."""
    return {
        **machine.describe_machine(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
