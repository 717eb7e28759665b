"""Virtual environments of the peers: exact versions, made once and used again if they are complete."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

REQUIREMENTS = {
    "peers": {
        "paddleocr": "3.7.0",
        "paddlepaddle": "3.3.1",
        "rapidocr": "3.10.0",
        "onnxruntime": "1.31.1",
        "openvino": "2026.4.1",
    },
    # Its modules have the names of rapidocr's.
    "lite": {"rapidocrlite": "5.0.0a15"},
}
"""Packages and versions by environment."""

# Two peers bring two builds of OpenCV, which overwrite each other; only this one runs without a display's libraries.
_OPENCV = "opencv-python-headless"
_ASK_VERSIONS = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


class PeerVenvError(Exception):
    """The environment could not be made."""


def ensure_peer_venv(directory: Path, environment: str = "peers") -> Path:
    """Return the interpreter of an environment in ``directory``, made or completed if need be.

    Raises:
        PeerVenvError: ``venv`` or ``pip`` failed; the error holds their last words.
    """
    python = directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.is_file():
        _run([sys.executable, "-m", "venv", str(directory)])
    wanted = REQUIREMENTS[environment]
    if _versions(python, wanted) != wanted:
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, *(f"{name}=={version}" for name, version in wanted.items()), _OPENCV])
        _run([*pip, "--force-reinstall", "--no-deps", _OPENCV])
    found = _versions(python, wanted)
    if found != wanted:
        raise PeerVenvError(f"after pip install there is {found}; expected {wanted}")
    return python


def _versions(python: Path, names: Iterable[str]) -> dict[str, str]:
    output = _run([str(python), "-c", _ASK_VERSIONS, *names])
    return {str(name): str(version) for name, version in json.loads(output).items()}


def _run(command: list[str]) -> str:
    child = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if child.returncode:
        said = " ".join(child.stderr.split())[-500:]
        raise PeerVenvError(f"{' '.join(command[1:4])} failed: {said}")
    return child.stdout
