"""Where engines keep what they compiled: a directory for each graph, GPU and set of versions, locked while in use."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, TypeVar

from ocrhpi.cache import cache_root
from ocrhpi.errors import BackendError, BackendMismatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["CompiledCache"]

T = TypeVar("T")

_KEY_FILE = "key.json"
_LOCK_FILE = ".lock"
_OURS = (_KEY_FILE, _LOCK_FILE)
_CHUNK = 1 << 20
_DIGITS = 24


class CompiledCache:
    """A directory that an engine itself writes compiled code to.

    Args:
        label: Name of the engine, for the name of the directory.
        graph: File of the graph, or of its weights.
        facts: Everything else that makes the code wrong when it changes; plain values.
        cache_dir: As in `ocrhpi.cache.cache_root`.

    Attributes:
        path: The directory; made by `load`.
    """

    def __init__(self, label: str, graph: Path, facts: Mapping[str, Any], cache_dir: str | None = None) -> None:
        self._key = json.dumps({"graph": _sha256(graph), **facts}, sort_keys=True, indent=1)
        digest = hashlib.sha256(self._key.encode()).hexdigest()
        self.path = cache_root(cache_dir) / "engines" / f"{label}-{digest[:_DIGITS]}"

    def load(self, open_engine: Callable[[], T]) -> T:
        """Call ``open_engine``, which reads and writes the directory; of processes that do so at once, one compiles.

        An engine that fails on what is kept is opened once more without it.

        Raises:
            BackendError: What ``open_engine`` raises.
        """
        from filelock import FileLock  # noqa: PLC0415 - only GPUs compile

        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / _LOCK_FILE):
            self._write_key()
            try:
                return open_engine()
            except BackendMismatch:
                raise
            except BackendError:
                if not self._clear():
                    raise
            return open_engine()

    def _write_key(self) -> None:
        """Say in words what the directory is for."""
        temporary = self.path / f".{_KEY_FILE}.tmp"
        temporary.write_text(self._key, "utf-8")
        temporary.replace(self.path / _KEY_FILE)

    def _clear(self) -> bool:
        """Remove what was compiled; return whether there was anything."""
        kept = [file for file in self.path.iterdir() if file.is_file() and file.name not in _OURS]
        for file in kept:
            file.unlink()
        return bool(kept)


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
