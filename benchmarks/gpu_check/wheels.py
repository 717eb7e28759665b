"""Wheels that came along are unpacked into a folder of this run alone; standard library only, since ocrhpi needs them.

What is installed on the machine already is shadowed, not changed.
"""

from __future__ import annotations

import os
import sys
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.gpu_check.clock import Clock

__all__ = ["WHEEL_LOG", "use_wheels"]

WHEEL_LOG = "wheels.txt"
_MARK = "OCRHPI_GPU_CHECK_PACKAGES"


def use_wheels(wheels: Path, output: Path, clock: Clock) -> None:
    """Unpack all wheels of a folder, and start this program again with them; return if there are none, or it was.

    Not by pip: several wheels of NVIDIA's share a folder, which ``pip install --target`` does not merge. They must be
    for this Python and platform, as what fits is not looked up.

    Args:
        wheels: The folder.
        output: Where packages and their log go.
        clock: Time for all of the program.
    """
    files = sorted(wheels.glob("*.whl"))
    packages = output / "packages"
    if not files or os.environ.get(_MARK) == str(packages):
        return
    lines = [f"{file.name}: {_unpack(file, packages)}" for file in files]
    (output / WHEEL_LOG).write_text("\n".join(lines) + "\n", "utf-8")
    known = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(packages), *([known] if known else [])])
    again = [sys.executable, "-m", "benchmarks.gpu_check", *sys.argv[1:], "--seconds", str(clock.left)]
    os.execve(sys.executable, again, {**os.environ, _MARK: str(packages), "PYTHONPATH": path})  # noqa: S606


def _unpack(file: Path, packages: Path) -> str:
    """Unpack one wheel; return how it went."""
    try:
        with zipfile.ZipFile(file) as wheel:
            wheel.extractall(packages)
    except (OSError, zipfile.BadZipFile) as error:
        return f"not unpacked: {error}"
    return "unpacked"
