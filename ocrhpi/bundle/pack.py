"""Files -> a bundle with its manifest: a folder or a zip file, written as a whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ocrhpi.edge.config import MANIFEST, FileEntry, Manifest
from ocrhpi.errors import OcrhpiError, OptionError
from ocrhpi.files import replacing, scratch_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_SUFFIX = ".zip"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same files make the same bytes
_REGULAR_FILE = 0o100644 << 16
# Weights hardly shrink, and unpacking them takes time at every start. The wheel must not lie there as it is: where a
# bundle is cut off, its own directory would be taken for that of the bundle.
_STORED = (".onnx", ".png")


def check_output(output: Path) -> None:
    """Refuse a place where no bundle can be written, before the work begins.

    Raises:
        OptionError: It is a folder for a zip file, a file for a folder, or a folder with something in it; or no path.
    """
    if "\0" in str(output):
        raise OptionError("output", f"received {str(output)!r}; a path cannot hold a NUL")
    if output.suffix == _SUFFIX:
        if output.is_dir():
            raise OptionError("output", f"{output} is a folder; expected the name of a zip file")
    elif output.exists() and not output.is_dir():
        raise OptionError("output", f"{output} is a file; expected a new folder, or a name that ends in {_SUFFIX}")
    elif output.is_dir() and any(output.iterdir()):
        raise OptionError("output", f"{output} is not empty; remove it, or choose another folder")


def pack(
    target: str,
    versions: Mapping[str, str],
    files: Mapping[str, bytes],
    output: Path,
    check: Callable[[Path], None],
) -> None:
    """Write a bundle.

    Args:
        target: What it is made for.
        versions: Packages that made it and their versions.
        files: Contents by their paths in the bundle.
        output: A file that ends in ``.zip``, replaced if it exists, or else a folder.
        check: Is called with the finished bundle before it gets its name; what it raises leaves nothing behind.

    Raises:
        OptionError: It cannot be written there.
    """
    entries = {name: FileEntry(hashlib.sha256(data).hexdigest(), len(data)) for name, data in files.items()}
    manifest = json.dumps(Manifest(target, versions, entries).as_values(), ensure_ascii=False, indent=1).encode()
    contents = {MANIFEST: manifest, **dict(sorted(files.items()))}
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with _written(contents, output) as temporary:
            check(temporary)
    except OcrhpiError:
        raise
    except OSError as error:
        raise OptionError("output", f"{error.filename or output}: {error.strerror or error}") from error


def zipped(contents: Mapping[str, bytes], stored: Callable[[str], bool] = lambda _: False) -> bytes:
    """Return a zip file of ``contents``, in their order; the same contents give the same bytes.

    Args:
        contents: Contents by their names.
        stored: Tells which of them are not to be compressed.
    """
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in contents.items():
            entry = zipfile.ZipInfo(name, _LONG_AGO)
            entry.external_attr = _REGULAR_FILE
            entry.compress_type = zipfile.ZIP_STORED if stored(name) else zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return file.getvalue()


@contextmanager
def _written(contents: Mapping[str, bytes], output: Path) -> Iterator[Path]:
    """Write the bundle under another name, yield that, and give it its own unless there is an error."""
    if output.suffix == _SUFFIX:
        with replacing(output) as temporary:
            temporary.write_bytes(zipped(contents, lambda name: name.endswith(_STORED)))
            yield temporary
        return
    with scratch_file(output) as temporary:
        _write_folder(contents, temporary)
        yield temporary
        if output.is_dir():
            output.rmdir()  # empty, see check_output()
        temporary.replace(output)


def _write_folder(contents: Mapping[str, bytes], folder: Path) -> None:
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
