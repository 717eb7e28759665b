"""What lies beside a bundle: wheels for a device without a network, a recipe for a container."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrhpi.bundle.runner import DISTRIBUTION, write_runner
from ocrhpi.bundle.write import extras_of
from ocrhpi.errors import BackendUnavailable, DownloadError, OptionError
from ocrhpi.files import sha256_of, told_as_output, write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ocrhpi.bundle.targets import Target
    from ocrhpi.model import Model


@dataclass(frozen=True)
class Beside:
    """What is to be written as ``NAME.wheels`` and ``NAME.Dockerfile`` beside the bundle ``NAME`` or ``NAME.zip``.

    Attributes:
        bundle: The bundle.
        python: Version of the device's Python.
        platforms: Platform tags of the wheels to fetch, best first; empty fetches none.
        recipe: Whether to write the recipe of an image; the folder of wheels then holds at least the runner.
    """

    bundle: Path
    python: str
    platforms: tuple[str, ...] = ()
    recipe: bool = False

    @property
    def wheels(self) -> Path:
        """The folder of wheels."""
        return self._named("wheels")

    def check(self, target: Target) -> None:
        """Refuse what cannot be written, before the work begins.

        Raises:
            OptionError: The folder of wheels is not empty, the target needs more than the small runner, or ``python``
                does not fit.
        """
        if not (self.platforms or self.recipe):
            return
        check_python(self.python)
        if not target.small:
            problem = (
                f"received {target.name!r}, whose bundles the whole of ocrhpi reads: install ocrhpi[{target.engine}]"
            )
            raise OptionError("target", f"{problem} there; wheels and images are made for the small runner")
        if self.wheels.exists() and not (self.wheels.is_dir() and not any(self.wheels.iterdir())):
            raise OptionError("output", f"{self.wheels} is in the way; remove it, or choose another output")

    def write(self, model: Model, target: Target) -> list[Path]:
        """Write it; return what was written.

        Args:
            model: The model of the bundle.
            target: What the bundle is made for.

        Raises:
            OptionError: As for `check`.
            BackendUnavailable: There is no pip here.
            DownloadError: A wheel could not be fetched.
            OutputError: It cannot be written.
        """
        self.check(target)
        extras = extras_of(model, target)
        written = []
        if self.platforms:
            collect_wheels(self.wheels, extras, self.platforms, self.python)
            written = [self.wheels]
        elif self.recipe:
            write_runner(self.wheels)
            written = [self.wheels]
        if self.recipe:
            text = dockerfile(self.bundle.name, self.wheels.name, extras, self.python, offline=bool(self.platforms))
            file = self._named("Dockerfile")
            with told_as_output(file):
                write_atomically(file, text)
            written.append(file)
        return written

    def _named(self, suffix: str) -> Path:
        stem = self.bundle.with_suffix("") if self.bundle.suffix == ".zip" else self.bundle
        return stem.with_name(f"{stem.name}.{suffix}")


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


# What OpenVINO's wheel holds besides its CPU plugin and the reader of ONNX: 73 of 178 MB, 2026.4 on x86-64.
_UNUSED_OF_OPENVINO = (
    "libopenvino_intel_gpu_plugin.so",
    "libopenvino_intel_npu_plugin.so",
    *(
        f"libopenvino_{name}_frontend.so*"
        for name in ("tensorflow", "tensorflow_lite", "pytorch", "paddle", "jax", "gguf")
    ),
    "cache.json",
)


def dockerfile(bundle: str, wheels: str, extras: Sequence[str], python: str, *, offline: bool) -> str:
    """Return a Dockerfile; the folder that holds bundle and wheels is its context.

    Args:
        bundle: Name of the bundle.
        wheels: Name of the folder of wheels, which holds at least the runner's.
        extras: Extras of the runner, such as ``onnxruntime``.
        python: Version of Python.
        offline: Whether the folder holds all wheels, so that the build needs no package index.
    """
    index = "--no-index " if offline else ""
    place = "/bundle.zip" if bundle.endswith(".zip") else "/bundle"
    return f"""# syntax=docker/dockerfile:1
FROM python:{python}-slim
RUN --mount=type=bind,source={wheels},target=/wheels \\
    pip install --no-cache-dir {index}--find-links /wheels '{DISTRIBUTION}[{",".join(extras)}]'{_slimming(extras)}
COPY {bundle} {place}
RUN useradd --create-home reader
USER reader
ENTRYPOINT ["python", "-m", "ocrhpi.edge", "{place}"]
"""


def _slimming(extras: Sequence[str]) -> str:
    """Return what the step that installs also does, so that the layer never holds what is not used."""
    if "openvino" not in extras:
        return ""
    patterns = " ".join(_UNUSED_OF_OPENVINO)
    return f""" \\
    && cd "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/openvino/libs" \\
    && rm -f {patterns}"""
