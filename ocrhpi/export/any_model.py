"""Any Paddle model -> ONNX, in the cache; what it is for is not known here, so its user verifies it."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

from ocrhpi.backends.guest import as_it_was
from ocrhpi.cache import keep, kept
from ocrhpi.errors import ExportError
from ocrhpi.export.convert import OPSET, convert_files
from ocrhpi.export.packages import require_modules
from ocrhpi.export.passes import mend_scalar_concats
from ocrhpi.files import replacing, scratch_file, sha256_of

if TYPE_CHECKING:
    from pathlib import Path

    from onnx import ModelProto

    from ocrhpi.model import ModelFiles

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
