"""Which versions of PaddleX and PaddleOCR this fits: those whose inner workings were looked at and tested."""

from __future__ import annotations

import importlib.metadata

from ocrhpi.errors import MissingExtra

EXTRA = "paddleocr"

TESTED = ("3.5", "3.6", "3.7")
"""Minor versions of both. Before 3.5 PaddleX has no engines that one could add to."""

_PADDLEOCR = "paddleocr"


def check_versions() -> None:
    """Check PaddleX and, where it is installed, PaddleOCR.

    Raises:
        MissingExtra: PaddleX is not installed, or one of them is of a version that was not tested.
    """
    version = _version("paddlex")
    if version is None:
        raise MissingExtra(EXTRA, "PaddleX, on which PaddleOCR runs its models, is not installed")
    found = {"paddlex": version, _PADDLEOCR: _version(_PADDLEOCR)}
    for name, version in found.items():
        if version is not None and _minor(version) not in TESTED:
            known = ", ".join(f"{minor}.*" for minor in TESTED)
            raise MissingExtra(EXTRA, f"{name} {version} is installed, and ocrhpi was tested inside {known} only")


def has_paddleocr() -> bool:
    """Whether PaddleOCR is installed; PaddleX can be used without."""
    return _version(_PADDLEOCR) is not None


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
