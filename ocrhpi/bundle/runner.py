"""The wheel ``ocrhpi-edge``: those modules of this very package that a device needs, and no others.

The modules keep their names, so ``from ocrhpi.edge import open_bundle`` is the same on a device and here, and there is
one copy of the code: docs/decisions/0020-edge-runner.md. Format: https://packaging.python.org/specifications/ (binary
distribution format, core metadata).
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import TYPE_CHECKING

from ocrhpi._version import __version__
from ocrhpi.bundle.pack import zipped
from ocrhpi.files import told_as_output, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DISTRIBUTION = "ocrhpi-edge"
REQUIRES = ("numpy>=1.24", "pillow>=10.1")
EXTRAS = {"onnxruntime": "onnxruntime>=1.17", "openvino": "openvino>=2024.5", "arabic": "python-bidi>=0.5"}
"""Of each engine, and of models of right-to-left scripts, what else is needed."""

# Besides all of ocrhpi.edge; tests/bundle/test_runner.py checks that these are what it imports.
_MODULES = (
    *("__init__.py", "_version.py", "py.typed"),
    *("closing.py", "data_files.py", "errors.py", "machine.py", "output.py", "values.py"),
    *("backends/__init__.py", "backends/onnx_io.py"),
    *("engines/__init__.py", "engines/onnxruntime_.py", "engines/openvino_.py"),
    *(f"recognition/{name}.py" for name in ("__init__", "batching", "ctc", "decoding", "geometry", "headers")),
)
_REQUIRES_PYTHON = ">=3.10"
_SUMMARY = "Reads text lines with edge bundles of ocrhpi; not to be installed beside ocrhpi, which contains it"


def runner_name() -> str:
    """Return the file name of the wheel."""
    return f"{_stem()}-py3-none-any.whl"


def runner_wheel() -> bytes:
    """Return the wheel; the same package makes the same bytes."""
    information = f"{_stem()}.dist-info"
    files = dict(_modules())
    files[f"{information}/METADATA"] = _metadata().encode()
    files[f"{information}/WHEEL"] = _wheel().encode()
    files[f"{information}/entry_points.txt"] = b"[console_scripts]\nocrhpi-edge = ocrhpi.edge.__main__:main\n"
    files[f"{information}/licenses/LICENSE"] = licence_text().encode()
    record = f"{information}/RECORD"
    files[record] = _record(files, record).encode()
    return zipped(files)


def write_runner(directory: Path) -> Path:
    """Write the wheel into ``directory``, which is made if need be; return its path.

    Raises:
        OutputError: It cannot be written.
    """
    path = directory / runner_name()
    with told_as_output(path):
        directory.mkdir(parents=True, exist_ok=True)
        write_atomically(path, runner_wheel())
    return path


def licence_text() -> str:
    """Return the licence of ocrhpi, Apache-2.0."""
    text: str = (resources.files("ocrhpi") / "fonts" / "LICENSE-Apache-2.0.txt").read_text("utf-8")
    return text


def _stem() -> str:
    return f"{DISTRIBUTION.replace('-', '_')}-{__version__}"


def _modules() -> Iterator[tuple[str, bytes]]:
    package = resources.files("ocrhpi")
    for name in _MODULES:
        yield f"ocrhpi/{name}", (package / name).read_bytes()
    for module in sorted((package / "edge").iterdir(), key=lambda module: module.name):
        if module.name.endswith(".py"):
            yield f"ocrhpi/edge/{module.name}", module.read_bytes()


def _metadata() -> str:
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {DISTRIBUTION}",
        f"Version: {__version__}",
        f"Summary: {_SUMMARY}",
        "License: Apache-2.0",
        f"Requires-Python: {_REQUIRES_PYTHON}",
        *(f"Requires-Dist: {requirement}" for requirement in REQUIRES),
    ]
    for extra, requirement in EXTRAS.items():
        lines += [f"Provides-Extra: {extra}", f"Requires-Dist: {requirement}; extra == '{extra}'"]
    return "\n".join(lines) + "\n"


def _wheel() -> str:
    return f"Wheel-Version: 1.0\nGenerator: ocrhpi {__version__}\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def _record(files: Mapping[str, bytes], record: str) -> str:
    return "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items()) + f"{record},,\n"


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
