"""Device names as PaddleOCR spells them: ``cpu``, ``gpu``, ``gpu:1``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ocrhpi.errors import OptionError


@dataclass(frozen=True)
class Device:
    """One device.

    Attributes:
        kind: ``cpu``, ``gpu``, or what else a backend knows (``npu``, ``auto``).
        index: 0-based number among the devices of that kind; always 0 for the CPU.
    """

    kind: str
    index: int = 0

    def __str__(self) -> str:
        return self.kind if self.kind == "cpu" else f"{self.kind}:{self.index}"


def parse_device(name: str) -> Device:
    """Read a device name.

    Raises:
        OptionError: Not of the form ``kind`` or ``kind:index``. Several devices (``gpu:0,1``) are refused:
            one recognizer runs on one device.
    """
    match = re.fullmatch(r"([a-z_]+)(?::(\d+))?", name.strip().lower())
    if match is None:
        raise OptionError("device", f"received {name!r}; expected 'cpu', 'gpu' or 'gpu:INDEX' with one index")
    return Device(match[1], int(match[2] or 0))
