"""Device names as PaddleOCR spells them: ``cpu``, ``gpu``, ``gpu:1``; and TF32.

In TF32 NVIDIA's libraries compute FP32 unless told otherwise: it rounds to ten bits and is not FP32.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from ocrhpi.errors import BackendMismatch, OptionError


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


TF32_VARIABLE = "NVIDIA_TF32_OVERRIDE"
"""Read by cuBLAS, cuDNN and TensorRT; 0 overrules every other setting of theirs."""


def forbid_tf32(backend: str) -> None:
    """Forbid TF32 in this process, for engines that have no setting of their own; before they load NVIDIA's libraries.

    Args:
        backend: Whose FP32 it is.

    Raises:
        BackendMismatch: The environment asks for TF32.
    """
    if os.environ.setdefault(TF32_VARIABLE, "0") != "0":
        found = f"{TF32_VARIABLE}={os.environ[TF32_VARIABLE]} lets NVIDIA's libraries run TF32 for it; unset it"
        raise BackendMismatch(backend, "FP32", found)
