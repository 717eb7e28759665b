"""TF32, in which NVIDIA's libraries compute FP32 unless told otherwise: it rounds to ten bits and is not FP32."""

from __future__ import annotations

import os

from ocrhpi.errors import BackendMismatch

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
