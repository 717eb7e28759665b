"""Names for saved results: the peer's, and never the file of another input."""

from __future__ import annotations

import json
import threading
import unicodedata
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
    ``a_res.json`` exists and names another input, and is the input's own where it names this one. Names that
    differ only in case or Unicode form count as equal, since some file systems hold them to be one.

    A name costs some hundred bytes. They stay in their process: a pickled copy learns from the files.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: dict[tuple[str, Identity], str] = {}  # (place, input) -> its name there
        self._owners: dict[str, Identity | None] = {}  # place of a name -> whose it is; None: not ours to overwrite
        self._probed: dict[str, int] = {}  # place -> number of the last name that was looked at

    def __reduce__(self) -> tuple[Any, ...]:
        return SaveNames, ()

    def __deepcopy__(self, memo: dict[int, Any]) -> SaveNames:
        return self  # copies of a result still save under its name

    def claim(self, directory: Path, base: str, identity: Identity) -> str:
        """Return the name that the input ``identity`` has in ``directory``, ``base`` if it is free.

        Raises:
            OSError: The directory cannot be searched.
        """
        place = _place(directory, base)
        with self._lock:
            while (place, identity) not in self._names:
                self._look_at_next(directory, base, place, identity)
            return self._names[place, identity]

    def _look_at_next(self, directory: Path, base: str, place: str, identity: Identity) -> None:
        """Look at one more of base, base-2, base-3, ... and note whose it is; each is looked at once."""
        number = self._probed[place] = self._probed.get(place, 0) + 1
        name = base if number == 1 else f"{base}-{number}"
        name_place = _place(directory, name)
        if name_place not in self._owners:  # "a-2" may have been looked at for an input called a-2
            saved = directory / f"{name}_res.json"
            self._owners[name_place] = _owner(saved) if _exists(saved) else identity
        owner = self._owners[name_place]
        if owner is not None:
            self._names.setdefault((place, owner), name)


def _place(directory: Path, name: str) -> str:
    return str(directory.absolute() / unicodedata.normalize("NFC", name).casefold())


def _exists(saved: Path) -> bool:
    try:
        saved.lstat()
    except FileNotFoundError:
        return False
    return True


def _owner(saved: Path) -> Identity | None:
    """Return the input that ``saved`` is the result of; None if it does not say, so it is not ours to overwrite."""
    try:
        content = json.loads(saved.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    input_path, page_index = content.get("input_path"), content.get("page_index")
    if not isinstance(input_path, str) or not isinstance(page_index, int | None):
        return None
    return input_path, page_index, ""
