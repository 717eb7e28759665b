"""The same models in Paddle's old format (``.pdmodel``), written by Paddle 3.0.0 in an environment of its own.

Later versions cannot write it. The environment takes some 900 MB in the cache directory and is used again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from benchmarks.reference_models.models import read_vocabulary
from ocrhpi.cache import cache_root

__all__ = ["OldFormatError", "write_old_model"]

_PADDLE = "3.0.0"
_REQUIREMENTS = (f"paddlepaddle=={_PADDLE}", "pyyaml", "platformdirs", "setuptools")
_ROOT = Path(__file__).parents[2]
_TIMEOUT_S = 1800.0
_WRITE = """
import sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from benchmarks.reference_models.models import write_model
write_model(sys.argv[1], Path(sys.argv[2]), seed=int(sys.argv[3]))
"""


class OldFormatError(Exception):
    """The environment could not be made, or Paddle 3.0.0 failed in it."""


def write_old_model(name: str, directory: Path, *, seed: int = 0) -> Path:
    """Write the model ``name``, with the weights that `write_model` gives it, and return ``directory``.

    Raises:
        OldFormatError: The environment could not be made, or the export failed in it; the error holds the last words.
        DictionaryError: As for `write_model`.
    """
    read_vocabulary(name)  # into the cache, since the environment has no pip that could fetch it
    python = _ensure_environment(cache_root() / "environments" / f"paddle-{_PADDLE}")
    # Without its new program representation this Paddle still writes what its forerunners did.
    settings = {"FLAGS_enable_pir_api": "0", "PYTHONPATH": str(_ROOT)}
    _run([str(python), "-c", _WRITE, name, str(directory.absolute()), str(seed)], settings)
    return directory


def _ensure_environment(directory: Path) -> Path:
    """Return the interpreter of the environment, made if it is not there or was left unfinished."""
    python = directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    finished = directory / "finished"
    directory.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{directory}.lock"):
        if not finished.is_file():
            _run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(directory)])
            pip = [sys.executable, "-m", "pip", "--python", str(python), "install"]
            _run([*pip, "--quiet", "--disable-pip-version-check", "--no-input", *_REQUIREMENTS])
            finished.touch()
    return python


def _run(command: list[str], settings: dict[str, str] | None = None) -> None:
    try:
        child = subprocess.run(  # noqa: S603 - our own command, no shell
            command,
            env=os.environ | (settings or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OldFormatError(f"{' '.join(command[1:4])} took longer than {_TIMEOUT_S:g} s") from error
    if child.returncode:
        said = " ".join((child.stderr or child.stdout).split())[-500:]
        raise OldFormatError(f"Paddle {_PADDLE} in an environment of its own: {' '.join(command[1:3])} failed: {said}")
