"""The packages that exporting needs, and what to install where one is missing."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from ocrhpi.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

EXPORT_MODULES = ("onnx", "onnxslim", "onnxruntime")
"""What every export needs."""

CONVERTER_MODULES = ("paddle", "paddle2onnx")
"""What the conversion of Paddle files needs besides."""


def missing_modules(modules: Sequence[str]) -> list[str]:
    """Return those that are not installed."""
    return [module for module in modules if importlib.util.find_spec(module) is None]


def require_modules(modules: Sequence[str], purpose: str) -> None:
    """Refuse to go on where one is missing.

    Args:
        modules: Names of modules.
        purpose: What needs them.

    Raises:
        BackendUnavailable: Some are not installed.
    """
    missing = missing_modules(modules)
    if missing:
        raise BackendUnavailable("export", f"{purpose} needs {', '.join(missing)}, not installed", _install_line())


def _install_line() -> str:
    """Return the command that brings the packages and leaves alone what is there.

    The extra ``export`` would put ``onnxruntime`` over an installed ``onnxruntime-gpu``, which is the same module.
    """
    engines = {"onnxruntime": "onnxruntime", "paddle": "paddle"}
    extras = ["convert", *(extra for module, extra in engines.items() if missing_modules([module]))]
    return f"pip install 'ocrhpi[{','.join(extras)}]'"
