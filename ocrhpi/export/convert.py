"""Paddle to ONNX with paddle2onnx, in a child process.

On a bad graph the converter aborts or dies with an unrelated exception, and by default it pip-installs packages into
the running interpreter; neither may happen to the caller's process.

`convert_any` keeps the result in the cache; what it is for is not known here, so its user verifies it.
"""

from __future__ import annotations

import hashlib
import importlib.util
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ocrhpi.backends.guest import as_it_was
from ocrhpi.cache import keep, kept
from ocrhpi.errors import BackendUnavailable, ExportError, ModelNotFound
from ocrhpi.export.isolated import ApartFailed, run_apart
from ocrhpi.export.passes import mend_scalar_concats
from ocrhpi.files import replacing, scratch_file, sha256_of
from ocrhpi.model.graph_facts import read_graph_facts
from ocrhpi.model.parameters import check_parameters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx import ModelProto

    from ocrhpi.model import Model, ModelFiles

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


OPSET = 17
"""First opset with LayerNormalization as one node; HardSwish needs 14."""

_TIMEOUT_S = 600.0
_MENDING = Path(__file__).with_name("programs.py")

# A program for `run_apart`.
_CHILD = """
graph, parameters, target, opset, mending = arguments
import warnings
warnings.simplefilter("ignore")
import os.path, paddle2onnx, paddle2onnx.convert, runpy
runpy.run_path(mending)["mend_before_parsing"](paddle2onnx.convert)
# optimize_tool=None: the default one installs packages into this interpreter
paddle2onnx.export(graph, parameters, target, opset_version=int(opset), optimize_tool=None)
if not os.path.isfile(target):
    raise RuntimeError("it reported success and wrote nothing")
answer = None
"""
_EXIT = "SystemExit"


def convert_paddle(model: Model, target: Path) -> None:
    """Convert the Paddle files of ``model`` into the ONNX file ``target``, batch and width dynamic.

    Raises:
        BackendUnavailable: paddle2onnx or Paddle is not installed.
        ExportError: The converter failed; the error holds its own words.
        ModelNotFound: The model has no Paddle files.
        ModelFormatError: Its parameters are cut off, damaged, or those of another graph.
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
    check_parameters(parameters, graph, read_graph_facts(graph).parameters)
    arguments = [str(graph), str(parameters), str(target), str(OPSET), str(_MENDING)]
    try:
        run_apart(_CHILD, arguments, timeout_s=_TIMEOUT_S)
    except ApartFailed as error:
        raise ExportError(path, "conversion", f"paddle2onnx failed: {_problem(error)}") from error


def _problem(error: ApartFailed) -> str:
    """Return the converter's own words where it logged them, and then just exited."""
    return error.words if error.words and error.how.startswith(_EXIT) else str(error)


_DIGITS = 16


def convert_any(name: str, path: Path, files: ModelFiles, *, cache_dir: Path | str | None = None) -> Path:
    """Return the Paddle files of a model as one ONNX file, converted if it is not cached.

    Args:
        name: Name of the model, for that of the file.
        path: The model, for messages.
        files: Its files.
        cache_dir: As in `ocrhpi.cache.cache_root`.

    Raises:
        BackendUnavailable: A package that the conversion needs is not installed.
        ExportError: The conversion failed.
        OutputError: The file can be kept neither in the cache nor in a temporary folder.
    """
    place = f"exports/{name}-{files_digest(files)}-onnx{OPSET}/converted.onnx"
    found = kept(place, cache_dir)
    if found is not None:
        return found
    require_modules(["onnx"], "exporting")
    return keep(place, partial(_convert, path, files), cache_dir)


def files_digest(files: ModelFiles) -> str:
    """Return a digest of the files that define the weights."""
    digests = "".join(sha256_of(file) for file in files.source)
    return hashlib.sha256(digests.encode()).hexdigest()[:_DIGITS]


def _convert(path: Path, files: ModelFiles, target: Path) -> None:
    with as_it_was():
        import onnx  # noqa: PLC0415 - only the exporter needs it

    with scratch_file(target) as converted:
        convert_files(path, files, converted)
        graph = _mended(onnx.load(converted), path)
    with replacing(target) as temporary:
        onnx.save(graph, temporary)


def _mended(graph: ModelProto, path: Path) -> ModelProto:
    try:
        return mend_scalar_concats(graph)
    except (ValueError, RuntimeError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise ExportError(path, "mending", f"{type(error).__name__}: {error}") from error
