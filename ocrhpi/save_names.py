"""Names for saved results: the peer's, and never the file of another input."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Identity", "SaveNames"]

Identity: TypeAlias = tuple[str | None, int | None, str]
"""What tells inputs apart: input_path, page_index, and a token for inputs without a path."""


class SaveNames:
    """Hands out base names in directories; one per recogniser, shared by its results, usable from many threads.

    The first input that asks for ``a`` in a directory gets ``a``, another one ``a-2``, then ``a-3``; an input that
    asks again gets its name again. Files of earlier runs are respected too: ``a`` is taken where
    ``a_res.json`` exists and names another input.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: dict[tuple[str, str, Identity], str] = {}
        self._taken: set[tuple[str, str]] = set()
        self._next: dict[tuple[str, str], int] = {}

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            state = self.__dict__.copy()
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def __deepcopy__(self, memo: dict[int, Any]) -> SaveNames:
        return self  # copies of a result still save under its name

    def claim(self, directory: Path, base: str, identity: Identity) -> str:
        """Return the name that the input ``identity`` has in ``directory``, ``base`` if it is free."""
        place = str(directory.absolute())
        with self._lock:
            name = self._given.get((place, base, identity))
            if name is None:
                name = self._free_name(directory, place, base, identity)
                self._given[place, base, identity] = name
                self._taken.add((place, name))
            return name

    def _free_name(self, directory: Path, place: str, base: str, identity: Identity) -> str:
        number = self._next.get((place, base), 1)
        while True:
            name = base if number == 1 else f"{base}-{number}"
            number += 1
            if (place, name) not in self._taken and not _is_of_another(directory / f"{name}_res.json", identity):
                self._next[place, base] = number
                return name


def _is_of_another(saved: Path, identity: Identity) -> bool:
    """Whether ``saved`` exists and is not what this input wrote in an earlier run."""
    try:
        content = json.loads(saved.read_bytes())
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True  # not ours, so not ours to overwrite
    if not isinstance(content, dict) or identity[0] is None:
        return True
    return (content.get("input_path"), content.get("page_index")) != identity[:2]
