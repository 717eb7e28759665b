"""Paddle to ONNX with paddle2onnx, in a child process.

On a bad graph the converter aborts or dies with an unrelated exception, and by default it pip-installs packages into
the running interpreter; neither may happen to the caller's process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ocrhpi.errors import ExportError, ModelNotFound
from ocrhpi.export.packages import CONVERTER_MODULES, require_modules

if TYPE_CHECKING:
    from ocrhpi.model import Model, ModelFiles

__all__ = ["OPSET", "convert_files", "convert_paddle"]

OPSET = 17
"""First opset with LayerNormalization as one node; HardSwish needs 14."""

_TIMEOUT_S = 600.0
_MENDING = Path(__file__).with_name("programs.py")

# The child prints one JSON line on its real stdout; whatever the converter prints goes to stderr.
_CHILD = """
import json, os, sys
result = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
graph, parameters, target, opset, mending = sys.argv[1:]
try:
    import warnings
    warnings.simplefilter("ignore")
    import paddle2onnx, paddle2onnx.convert, runpy
    runpy.run_path(mending)["mend_before_parsing"](paddle2onnx.convert)
    # optimize_tool=None: the default one installs packages into this interpreter
    paddle2onnx.export(graph, parameters, target, opset_version=int(opset), optimize_tool=None)
    print(json.dumps({"versions": {"paddle2onnx": paddle2onnx.__version__}}), file=result)
except BaseException as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=result)
"""


def convert_paddle(model: Model, target: Path) -> None:
    """Convert the Paddle files of ``model`` into the ONNX file ``target``, batch and width dynamic.

    Raises:
        BackendUnavailable: paddle2onnx or Paddle is not installed.
        ExportError: The converter failed; the error holds its own words.
        ModelNotFound: The model has no Paddle files.
    """
    convert_files(model.path, model.files, target)


def convert_files(path: Path, files: ModelFiles, target: Path) -> None:
    """Convert the Paddle files of any model, one that reads no lines, too; errors are those of `convert_paddle`.

    Args:
        path: The model, for messages.
        files: Its files.
        target: The ONNX file to write.
    """
    graph, parameters = files.paddle_graph, files.paddle_parameters
    if graph is None or parameters is None:
        raise ModelNotFound(path, "inference.json or inference.pdmodel to convert")
    require_modules(CONVERTER_MODULES, "conversion from Paddle")
    command = [sys.executable, "-c", _CHILD, str(graph), str(parameters), str(target), str(OPSET), str(_MENDING)]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise ExportError(path, "conversion", f"paddle2onnx did not end within {_TIMEOUT_S:g} s") from error
    problem = _problem(child)
    if problem is None and not target.is_file():
        problem = f"it reported success and wrote nothing: {_last_words(child.stderr)}"
    if problem:
        raise ExportError(path, "conversion", f"paddle2onnx failed: {problem}")


def _problem(child: subprocess.CompletedProcess[str]) -> str | None:
    if not child.stdout.strip():
        how = f"signal {-child.returncode}" if child.returncode < 0 else f"exit status {child.returncode}"
        return f"its process ended with {how}; {_last_words(child.stderr)}"
    report = json.loads(child.stdout.strip().splitlines()[-1])
    return f"{report['error']}; {_last_words(child.stderr)}" if "error" in report else None


def _last_words(output: str) -> str:
    """Return the line that tells most: the converter's own error if there is one, else the last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line or "Error" in line or "not support" in line]
    return ((errors or lines or ["it printed nothing"])[-1])[:400]
