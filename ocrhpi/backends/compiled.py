"""Where engines keep what they compiled: a directory for each graph, GPU and set of versions, locked while in use."""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from ocrhpi.cache import writable_folder
from ocrhpi.errors import BackendError, BackendMismatch
from ocrhpi.files import locked, sha256_of, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

T = TypeVar("T")

_KEY_FILE = "key.json"
_LOCK_FILE = ".lock"
_OURS = (_KEY_FILE, _LOCK_FILE)
_DIGITS = 24


class CompiledCache:
    """A directory that an engine itself writes compiled code to.

    Args:
        label: Name of the engine, for the name of the directory.
        graph: File of the graph, or of its weights.
        facts: Everything else that makes the code wrong when it changes; plain values.
        cache_dir: As in `ocrhpi.cache.cache_root`.

    Attributes:
        path: The directory, made here; where the cache cannot be written to, a temporary one.

    Raises:
        OutputError: Neither can be made.
    """

    def __init__(self, label: str, graph: Path, facts: Mapping[str, Any], cache_dir: str | None = None) -> None:
        self._key = json.dumps({"graph": sha256_of(graph), **facts}, sort_keys=True, indent=1)
        digest = hashlib.sha256(self._key.encode()).hexdigest()
        self.path = writable_folder(f"engines/{label}-{digest[:_DIGITS]}", cache_dir)

    def load(self, open_engine: Callable[[], T]) -> T:
        """Call ``open_engine``, which reads and writes the directory; of processes that do so at once, one compiles.

        An engine that fails on what is kept is opened once more without it.

        Raises:
            BackendError: What ``open_engine`` raises.
        """
        with self._alone():
            try:
                return open_engine()
            except BackendMismatch:
                raise
            except BackendError:
                if not self._clear():
                    raise
            return open_engine()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only process here, and say in words what the directory is for, where it can be written to."""
        with ExitStack() as stack:
            with suppress(OSError):
                stack.enter_context(locked(self.path / _LOCK_FILE))
                write_atomically(self.path / _KEY_FILE, self._key)
            yield

    def _clear(self) -> bool:
        """Remove what was compiled; return whether anything was."""
        kept = [file for file in self.path.iterdir() if file.is_file() and file.name not in _OURS]
        try:
            for file in kept:
                file.unlink()
        except OSError:
            return False
        return bool(kept)
