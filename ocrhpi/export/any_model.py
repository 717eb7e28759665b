"""Any Paddle model -> ONNX, in the cache; what it is for is not known here, so its user verifies it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ocrhpi.cache import cache_root
from ocrhpi.errors import ExportError
from ocrhpi.export.convert import OPSET, convert_files
from ocrhpi.export.packages import require_modules
from ocrhpi.export.passes import mend_scalar_concats

if TYPE_CHECKING:
    from pathlib import Path

    from onnx import ModelProto

    from ocrhpi.model import ModelFiles

__all__ = ["convert_any", "files_digest"]

_CHUNK = 1 << 20
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
    """
    directory = cache_root(cache_dir) / "exports" / f"{name}-{files_digest(files)}-onnx{OPSET}"
    target = directory / "converted.onnx"
    if target.is_file():
        return target
    require_modules(["onnx"], "exporting")
    from filelock import FileLock  # noqa: PLC0415 - a cached export needs no lock

    directory.mkdir(parents=True, exist_ok=True)
    with FileLock(directory / ".lock"):
        if not target.is_file():
            _convert(path, files, target)
    return target


def files_digest(files: ModelFiles) -> str:
    """Return a digest of the files that define the weights."""
    digest = hashlib.sha256()
    for file in files.source:
        with file.open("rb") as content:
            while chunk := content.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()[:_DIGITS]


def _convert(path: Path, files: ModelFiles, target: Path) -> None:
    import onnx  # noqa: PLC0415 - only the exporter needs it

    converted, mended = (target.with_name(f".{stage}.tmp") for stage in ("converted", "mended"))
    try:
        convert_files(path, files, converted)
        onnx.save(_mended(onnx.load(converted), path), mended)
        mended.replace(target)
    finally:
        converted.unlink(missing_ok=True)
        mended.unlink(missing_ok=True)


def _mended(graph: ModelProto, path: Path) -> ModelProto:
    try:
        return mend_scalar_concats(graph)
    except (ValueError, RuntimeError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise ExportError(path, "mending", f"{type(error).__name__}: {error}") from error
