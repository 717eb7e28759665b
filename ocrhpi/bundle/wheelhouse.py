"""The wheels that a device installs without a network: the runner and what it needs, for the device's platform."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

from ocrhpi.bundle.runner import write_runner
from ocrhpi.errors import BackendUnavailable, DownloadError, OptionError
from ocrhpi.files import sha256_of, told_as_output, write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PYTHON = re.compile(r"3\.\d{1,2}")
_MAX_REASON = 500


def check_python(python: str) -> None:
    """Refuse what is no version of Python that pip takes.

    Raises:
        OptionError: It is none.
    """
    if not _PYTHON.fullmatch(python):
        raise OptionError("python", f"received {python!r}; expected a version such as 3.11")


def collect_wheels(directory: Path, extras: Sequence[str], platforms: Sequence[str], python: str) -> list[Path]:
    """Write the runner's wheel into ``directory``, fetch the wheels that it needs, and list all with their hashes.

    A device installs them with ``pip install --no-index --find-links DIR --require-hashes -r DIR/requirements.txt``.
    pip chooses for the platform and the Python given, not for this machine; only markers in the metadata of packages
    are evaluated for this machine, and what the runner needs has none that would differ.

    Args:
        directory: Empty, or made.
        extras: Extras of the runner, such as ``onnxruntime``.
        platforms: Platform tags that the device runs, best first.
        python: Version of the device's Python, such as ``3.11``.

    Returns:
        The wheels, sorted by name.

    Raises:
        OptionError: ``python`` does not fit.
        BackendUnavailable: There is no pip here.
        DownloadError: pip found no wheel for a package; its own words are part of the error.
        OutputError: The folder cannot be written to.
    """
    check_python(python)
    runner = write_runner(directory)
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--dest", str(directory)),
        *("--only-binary=:all:", "--implementation", "cp", "--python-version", python),
        *(part for platform in platforms for part in ("--platform", platform)),
        f"{runner}[{','.join(extras)}]",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command line
    if "No module named pip" in done.stderr:
        raise BackendUnavailable("pip", "it fetches the wheels, and is not installed", "python -m ensurepip")
    if done.returncode:
        hint = f"Is there a wheel of each package for Python {python} on {platforms[0]}?"
        raise DownloadError("the wheels", {"pip": _reason(done.stderr) or f"exit {done.returncode}"}, hint)
    wheels = sorted(directory.glob("*.whl"))
    pins = [f"{_pin(wheel)} --hash=sha256:{sha256_of(wheel)}\n" for wheel in wheels]
    requirements = directory / "requirements.txt"
    with told_as_output(requirements):
        write_atomically(requirements, "".join(pins))
    return wheels


def _reason(stderr: str) -> str:
    lines = [line.removeprefix("ERROR: ") for line in stderr.splitlines() if line.startswith("ERROR: ")]
    return " ".join(lines)[:_MAX_REASON].rstrip(".")


def _pin(wheel: Path) -> str:
    name, version = wheel.name.split("-")[:2]
    return f"{name.replace('_', '-')}=={version}"
