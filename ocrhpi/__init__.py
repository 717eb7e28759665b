"""ocrhpi: PaddleOCR text recognition as fast as the machine allows, with proof that it reads the same text.

`TextRecognition` is the PaddleOCR-compatible facade; `load_predictor` the native one. Names are loaded on first
use, so that ``import ocrhpi`` loads neither an engine nor OpenCV.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ocrhpi._version import __version__

if TYPE_CHECKING:
    from ocrhpi.backends.base import Backend, Effective
    from ocrhpi.backends.registry import BackendSpec
    from ocrhpi.errors import OcrhpiError
    from ocrhpi.loader import load_high_performance, load_predictor
    from ocrhpi.predictor import Predictor
    from ocrhpi.results import TextRecResult
    from ocrhpi.text_recognition import TextRecognition

_HOME = {
    "Backend": "backends.base",
    "BackendSpec": "backends.registry",
    "Effective": "backends.base",
    "OcrhpiError": "errors",
    "Predictor": "predictor",
    "TextRecResult": "results",
    "TextRecognition": "text_recognition",
    "load_high_performance": "loader",
    "load_predictor": "loader",
}

__all__ = [
    "Backend",
    "BackendSpec",
    "Effective",
    "OcrhpiError",
    "Predictor",
    "TextRecResult",
    "TextRecognition",
    "__version__",
    "load_high_performance",
    "load_predictor",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the type is in the TYPE_CHECKING block
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
