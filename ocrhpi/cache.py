"""Where ocrhpi keeps what it fetched and made: one directory, which a user may delete at any time.

Where it cannot be written to, what is made goes into a *spare* folder among the system's temporary ones, which this
process and those that it starts share, and which goes with it.
"""

from __future__ import annotations

import atexit
import logging
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ocrhpi.errors import OptionError, OutputError
from ocrhpi.files import TemporaryFolder, disk_fault, locked, sweep, told_as_output
from ocrhpi.forks import RenewedLock

if TYPE_CHECKING:
    from collections.abc import Callable

CACHE_VARIABLE = "OCRHPI_CACHE_DIR"

SPARE_VARIABLE = "OCRHPI_SPARE_CACHE_DIR"
"""Tells the processes that we start which spare folder they share; not for users."""

_log = logging.getLogger("ocrhpi")
_CURE = f"set {CACHE_VARIABLE} to a folder that can be written to and has space"
_TOLD = "why.txt"  # in the spare folder: why there is anything else in it


def cache_root(cache_dir: Path | str | None = None) -> Path:
    """Return the cache directory.

    Args:
        cache_dir: The user's choice; None takes the environment variable ``OCRHPI_CACHE_DIR``, and without
            that the user's cache directory of the operating system, or a temporary one for a user who has no home.

    Raises:
        OptionError: The choice starts from the home of a user who has none, or is no path.
        OutputError: There is neither a home nor a temporary folder.
    """
    chosen = cache_dir or os.environ.get(CACHE_VARIABLE)
    if chosen:
        if "\0" in str(chosen):
            raise OptionError("cache_dir", f"received {str(chosen)!r}; a path cannot hold a NUL")
        try:
            return Path(chosen).expanduser().absolute()
        except RuntimeError as error:
            problem = f"received {str(chosen)!r}, but {error}; give a path without '~'"
            raise OptionError("cache_dir", problem) from error
    import platformdirs  # noqa: PLC0415 - only the default place needs it

    try:
        default = Path(platformdirs.user_cache_dir("ocrhpi", appauthor=False))
    except (RuntimeError, KeyError):
        default = Path()
    # Some versions return the '~' as it is.
    return default if default.is_absolute() else fall_back("the cache", "this user has no home folder")


def kept(place: str, cache_dir: Path | str | None = None) -> Path | None:
    """Return the file ``place`` of the cache, or of the spare folder; None if it is in neither.

    Args:
        place: Its path in the cache.
        cache_dir: As in `cache_root`.
    """
    path = cache_root(cache_dir) / place
    return path if path.is_file() else spared(place)


def keep(place: str, make: Callable[[Path], object], cache_dir: Path | str | None = None) -> Path:
    """Return the file ``place`` of the cache; if it is not there, one process makes it while others wait.

    Args:
        place: Its path in the cache.
        make: Is called with the path where the file must be afterwards, whose folder is there. What it raises because
            the disk is full, or must not be written to, has it called once more, with a path in the spare folder.
        cache_dir: As in `cache_root`.

    Raises:
        OutputError: It can be written in neither of them.
        Exception: What else ``make`` raises.
    """
    found = kept(place, cache_dir)
    if found is not None:
        return found
    root = cache_root(cache_dir)
    try:
        return _made(root / place, make)
    except Exception as error:
        reason = disk_fault(error)
        if not reason:
            raise
        spare = fall_back(root, reason)
        if spare == root:
            raise OutputError(root / place, f"{reason}; {_CURE}") from error
    try:
        return _made(spare / place, make)
    except Exception as error:
        again = disk_fault(error)
        if not again:
            raise
        raise OutputError(root / place, f"{reason}; nor could {spare / place}: {again}; {_CURE}") from error


def writable_folder(place: str, cache_dir: Path | str | None = None) -> Path:
    """Return the folder ``place`` of the cache, made if need be; of the spare folder where it cannot be written to.

    One that is there already with something in it is returned as it is: what was kept can still be read.

    Raises:
        OutputError: It can be made in neither of them.
    """
    root = cache_root(cache_dir)
    folder = root / place
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK) or any(folder.iterdir()):
            return folder
        reason = "it may not be written to"
    except OSError as error:
        reason = error.strerror or str(error)
    folder = fall_back(root, reason) / place
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(folder, f"{error.strerror or error}; {_CURE}", error.errno) from error
    return folder


def spared(place: str) -> Path | None:
    """Return the file ``place`` of the spare folder, if there is one."""
    spare = _spare.path()
    if spare is None or not (spare / place).is_file():
        return None
    if not _spare.is_given:
        with suppress(OSError):  # what a process that we started said may have been heard by nobody
            _spare.tell((spare / _TOLD).read_text("utf-8"))
    return spare / place


def spare_place(place: str) -> Path:
    """Return where ``place`` would be in the spare folder; nobody is told.

    Raises:
        OSError: There can be none.
    """
    return _spare.made() / place


def spare_environment() -> dict[str, str]:
    """Return the variables by which a process that is started learns of the spare folder; none if there can be none."""
    try:
        return {SPARE_VARIABLE: str(_spare.made())}
    except OSError:
        return {}


def fall_back(root: Path | str, reason: str) -> Path:
    """Return the spare folder; the first time, a warning says why it is needed.

    Args:
        root: What cannot be written to.
        reason: Why; a phrase.

    Raises:
        OutputError: There can be none.
    """
    try:
        spare = _spare.made()
    except OSError as error:
        problem = f"{reason}, and there is no temporary folder ({error.strerror or error}); {_CURE}"
        raise OutputError(root, problem, error.errno) from error
    said = f"{root} cannot be used ({reason}): what is made now is in {spare} until this process ends; {_CURE}"
    try:
        with (spare / _TOLD).open("x", encoding="utf-8") as file:
            file.write(said)
    except FileExistsError:  # said by another process of ours; but the user may hear this one alone
        if _spare.is_given:
            return spare
    except OSError:
        pass
    _spare.tell(said)
    return spare


class _Spare:
    """The spare folder: that of the process that started this one, or its own, made when it is needed."""

    def __init__(self) -> None:
        given = os.environ.get(SPARE_VARIABLE)
        self._given = Path(given) if given else None
        self._own: TemporaryFolder | None = None
        self._lock = RenewedLock()
        self._told = False

    @property
    def is_given(self) -> bool:
        """Whether it is another process's."""
        return self._given is not None

    def path(self) -> Path | None:
        """Return the folder if there is one."""
        return self._given if self._own is None else self._own.path

    def made(self) -> Path:
        """Return the folder, made if need be; raise OSError if it cannot."""
        with self._lock:
            path = self.path()
            if path is None or not path.is_dir():  # it is gone where a process outlives its owner
                self._own, self._given = TemporaryFolder(), None
                atexit.register(self._own.remove)
                path = self._own.path
            return path

    def tell(self, said: str) -> None:
        """Log a warning, once."""
        with self._lock:
            told, self._told = self._told, True
        if not told:
            _log.warning("%s", said)


_spare = _Spare()


def _made(path: Path, make: Callable[[Path], object]) -> Path:
    with ExitStack() as stack:
        with told_as_output(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            alone = stack.enter_context(locked(path.parent / ".lock"))
        if not path.is_file():
            sweep(path.parent, alone=alone)
            make(path)
    return path
