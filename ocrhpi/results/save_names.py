"""Names for saved results: the peer's, and never the file of another input."""

from __future__ import annotations

import os
import time
import unicodedata
from typing import TYPE_CHECKING, Any, TypeAlias

from ocrhpi.data_files import read_bounded, read_json
from ocrhpi.files import scratch_file
from ocrhpi.forks import RenewedLock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import BinaryIO

Identity: TypeAlias = tuple[str | None, int | None, str]
"""What tells inputs apart: input_path, page_index, and a token for inputs without a path."""


class SaveNames:
    """Hands out base names in directories; one per recognizer, shared by its results, usable from many threads.

    The first input that asks for ``a`` in a directory gets ``a``, another one ``a-2``, then ``a-3``; an input that
    asks again gets its name again. Files of earlier runs are respected too: ``a`` is taken where
    ``a_res.json`` exists and names another input, and is the input's own where it names this one. Names that
    differ only in case or Unicode form count as equal, since some file systems hold them to be one.

    Other processes may save into the same directory meanwhile: a file that is new comes into being in one step, so of
    two that want a name one gets it. A picture does not say whose it is; where no JSON is beside it, it is the input's
    own if it is older than these names.

    A name costs some hundred bytes. They stay in their process: a pickled copy learns from the files.
    """

    def __init__(self) -> None:
        self._lock = RenewedLock()
        self._names: dict[tuple[str, Identity], str] = {}  # (place, input) -> its name there
        self._owners: dict[str, Identity | None] = {}  # place of a name -> whose it is; None: not ours to overwrite
        self._probed: dict[str, int] = {}  # place -> number of the last name that was looked at
        self._files: set[str] = set()  # that were saved
        self._began = time.time()

    def __reduce__(self) -> tuple[Any, ...]:
        return SaveNames, ()

    def __deepcopy__(self, memo: dict[int, Any]) -> SaveNames:
        return self  # copies of a result still save under its name

    def save(
        self, directory: Path, base: str, identity: Identity, ending: str, write: Callable[[BinaryIO], object]
    ) -> Path:
        """Save a file of the input ``identity`` in ``directory``, as ``base`` and the ending if that name is free.

        Args:
            directory: It is there.
            base: The name that is wanted.
            identity: See `Identity`.
            ending: Of the file, such as ``_res.json``.
            write: Writes it; the file is whole, or not there at all.

        Returns:
            The file.

        Raises:
            OSError: The directory cannot be searched, or the file not be written.
        """
        wanted = directory / f"{base}{ending}"
        with scratch_file(wanted) as temporary:
            try:
                with temporary.open("wb") as file:
                    write(file)
                return self._put(temporary, directory, base, identity, ending)
            except OSError as error:
                if str(error.filename) == str(temporary):  # which nobody knows
                    error.filename, error.filename2 = str(wanted), None
                raise

    def _put(self, temporary: Path, directory: Path, base: str, identity: Identity, ending: str) -> Path:
        """Give a file its name."""
        place = _place(directory, base)
        with self._lock:
            while True:
                while (place, identity) not in self._names:
                    self._look_at_next(directory, base, place, identity)
                name = self._names[place, identity]
                file = directory / f"{name}{ending}"
                if str(file) in self._files:
                    temporary.replace(file)
                    return file
                if _create(temporary, file):
                    self._files.add(str(file))
                    return file
                if self._is_of(identity, file, name):
                    self._files.add(str(file))
                else:
                    self._owners[_place(directory, name)] = None  # another process was quicker
                    del self._names[place, identity]

    def _is_of(self, identity: Identity, file: Path, name: str) -> bool:
        """Tell whether a file that these names did not save is of this input."""
        saved = file.with_name(f"{name}_res.json")
        if _exists(saved):
            return _owner(saved) == identity
        return not _exists(file) or file.lstat().st_mtime < self._began

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


def _create(temporary: Path, file: Path) -> bool:
    """Make a file, unless there is one, in one step."""
    try:
        os.link(temporary, file)  # whole at once
    except FileExistsError:
        return False
    except OSError:  # a file system without such links
        try:
            file.touch(exist_ok=False)
        except FileExistsError:
            return False
        temporary.replace(file)
    return True


def _exists(saved: Path) -> bool:
    try:
        saved.lstat()
    except FileNotFoundError:
        return False
    return True


def _owner(saved: Path) -> Identity | None:
    """Return the input that ``saved`` is the result of; None if it does not say, so it is not ours to overwrite."""
    try:
        content = read_json(read_bounded(saved))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict):
        return None
    input_path, page_index = content.get("input_path"), content.get("page_index")
    if not isinstance(input_path, str) or not isinstance(page_index, int | None):
        return None
    return input_path, page_index, ""
