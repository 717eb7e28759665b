"""Files that are whole or not there at all, whoever writes them at the same time; digests, locks, temporary folders.

A temporary name belongs to one process, so none tears what another writes; what processes leave behind that were killed
is removed by the next one that writes there.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import platform
import re
import secrets
import shutil
import stat
import tempfile
import time
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ocrhpi.errors import OcrhpiError, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger("ocrhpi")

_BLOCK = 1 << 20
_TEMPORARY = re.compile(r"\..*\.(?P<world>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{8}\.tmp", re.DOTALL)
_HIDDEN = re.compile(r"\..*\.tmp", re.DOTALL)
_MAX_STEM = 40  # characters: a name may have 255 bytes
_OLD_S = 3600.0  # nothing is written for so long
_PREFIX = "ocrhpi-"
_OWNER = ".ocrhpi-owner"  # in a temporary folder: locked as long as its owner lives
_TRIES = 5

# Not EACCES, which also comes of reading.
_OF_DISKS = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG, errno.EROFS)


def write_atomically(path: Path, data: bytes | str, *, durable: bool = True) -> None:
    """Write a file, whole or not at all; its folder is there.

    Args:
        path: The file.
        data: Its content; text becomes UTF-8, line ends as they are.
        durable: As for `replacing`.

    Raises:
        OSError: It cannot be written; what was there stays.
    """
    with replacing(path, durable=durable) as temporary, temporary.open("wb") as file:
        file.write(data.encode("utf-8") if isinstance(data, str) else data)


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield another name in the folder of ``path``; the file written there takes its place, unless there is an error.

    A link is followed. What is no regular file, such as ``/dev/stdout``, cannot be replaced, and is yielded itself.

    Args:
        path: The file; its folder is there.
        durable: Whether it must also survive a loss of power; that takes some milliseconds.

    Raises:
        OSError: It cannot be written; what was there stays, and nothing else.
    """
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if _is_device(target):
        yield target
        return
    with scratch_file(target) as temporary:
        try:
            yield temporary
            if durable:
                _synchronise(temporary)
            temporary.replace(target)
            if durable and os.name == "posix":
                _synchronise_folder(target.parent)
        except OSError as error:
            if str(error.filename) == str(temporary):  # which nobody knows
                error.filename, error.filename2 = str(target), None
            raise


@contextmanager
def scratch_file(path: Path) -> Iterator[Path]:
    """Yield a name in the folder of ``path`` that only this caller has; what is there at the end is removed."""
    _sweep_once(path.parent)
    owner = f"{_world()}-{os.getpid()}-{secrets.token_hex(4)}"
    temporary = path.with_name(f".{path.name[:_MAX_STEM]}.{owner}.tmp")
    try:
        yield temporary
    finally:
        with suppress(OSError):
            _remove(temporary)


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def locked(path: Path, timeout: float | None = None) -> Iterator[bool]:
    """Be the only process that holds the lock file ``path``; the system frees those of processes that are gone.

    Yields whether it is held: on a file system that knows no locks there is none to wait for. What is written by
    `replacing` is whole all the same.

    Args:
        path: The lock file, which stays; its folder is there.
        timeout: Seconds to wait for others; None: as long as it takes.

    Raises:
        TimeoutError: Another process holds it.
        OSError: The file cannot be made.
    """
    from filelock import FileLock  # noqa: PLC0415 - what is there already needs no lock

    lock = FileLock(path)
    try:
        lock.acquire(timeout=-1 if timeout is None else timeout)
    except NotImplementedError as error:
        _log.debug("%s: no lock: %s", path, error)
    try:
        yield lock.is_locked
    finally:
        lock.release()  # without effect on one that is not held


@contextmanager
def told_as_output(path: Path | str) -> Iterator[None]:
    """Turn an error of the system into a sentence that names the file.

    Args:
        path: What is written; where the error itself names another file, that is told, too.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        yield
    except OcrhpiError:
        raise
    except OSError as error:
        reason = "a file is in the way" if isinstance(error, FileExistsError) else error.strerror or str(error)
        where = "" if error.filename is None or str(error.filename) == str(path) else f"{error.filename}: "
        raise OutputError(path, where + reason, error.errno) from error
    except ValueError as error:
        if "\0" not in str(path):
            raise
        raise OutputError(repr(str(path)), "a path cannot hold a NUL") from error


def disk_fault(error: BaseException | None) -> str:
    """Return why the disk did not take a file, if that is behind ``error``: it is full, or may not be written to.

    Other processes and libraries tell it in their message alone, so that is looked into, too.
    """
    while error is not None:
        if isinstance(error, OutputError):
            return error.reason
        if isinstance(error, OSError) and error.errno is not None and error.errno in _OF_DISKS:
            return os.strerror(error.errno)
        told = next((os.strerror(code) for code in _OF_DISKS if os.strerror(code) in str(error)), "")
        if told:
            return told
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return ""


class TemporaryFolder:
    """A folder among the system's temporary ones. If its process is killed, the next one that makes one removes it.

    Attributes:
        path: The folder.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self) -> None:
        from filelock import FileLock  # noqa: PLC0415 - as above

        _sweep_folders(Path(tempfile.gettempdir()))
        for _ in range(_TRIES):
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
            self._pid = os.getpid()
            self._lock = FileLock(self.path / _OWNER, thread_local=False)
            # Another process may take a folder for a dead one's before it is locked, and remove it.
            with suppress(TimeoutError, FileNotFoundError):
                made = self.path.stat()
                with suppress(NotImplementedError):  # no locks: then nobody removes it
                    self._lock.acquire(timeout=0)
                if os.path.samestat(made, self.path.stat()):
                    return
        raise FileNotFoundError(
            errno.ENOENT, "temporary folders vanish as soon as they are made", tempfile.gettempdir()
        )

    def remove(self) -> None:
        """Remove it; in a process that was forked from its owner, which may still use it, do nothing."""
        if self._pid == os.getpid():
            self._lock.release()
            shutil.rmtree(self.path, ignore_errors=True)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a `TemporaryFolder`, removed at the end.

    Raises:
        OSError: It cannot be made.
    """
    folder = TemporaryFolder()
    try:
        yield folder.path
    finally:
        folder.remove()


def sweep(folder: Path, *, alone: bool = False) -> None:
    """Remove the temporary files that processes left in a folder before they ended.

    Args:
        folder: The folder; what cannot be removed stays.
        alone: Whether nobody else writes there now, so that all hidden ones are left over.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _is_left_over(entry) or (alone and _HIDDEN.fullmatch(entry.name) and entry.is_file()):
                with suppress(OSError):
                    _remove(Path(entry.path))


def _is_left_over(entry: os.DirEntry[str]) -> bool:
    """Whether its process is dead; of one on another machine, or in another container, its age tells."""
    made = _TEMPORARY.fullmatch(entry.name)
    if made is None:
        return False
    if made["world"] == _world() and os.name == "posix":  # elsewhere, asking a process would end it
        return not _is_alive(int(made["pid"]))
    with suppress(OSError):
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > _OLD_S
    return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sweep_once(folder: Path) -> None:
    """Sweep a folder at the first time that this process writes there: it may hold very many files."""
    place = str(folder.absolute())
    if place not in _swept:
        _swept.add(place)
        sweep(folder)


_swept: set[str] = set()


def _sweep_folders(parent: Path) -> None:
    """Remove the temporary folders of this user whose owner is dead."""
    from filelock import FileLock  # noqa: PLC0415 - as above

    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError, NotImplementedError):
            # Others may put a link there, or a folder with links in it.
            found, lock = folder.lstat(), folder / _OWNER
            mine = not hasattr(os, "getuid") or found.st_uid == os.getuid()
            if mine and stat.S_ISDIR(found.st_mode) and lock.is_file():
                with FileLock(lock, timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)


@cache
def _world() -> str:
    """Return eight digits for where process numbers mean the same: this machine since it started, this container."""
    facts = [platform.node()]
    with suppress(OSError):
        facts += [Path("/proc/sys/kernel/random/boot_id").read_text("ascii"), str(Path("/proc/self/ns/pid").readlink())]
    return hashlib.sha256("\0".join(facts).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


def _is_device(path: Path) -> bool:
    with suppress(OSError):
        mode = path.stat().st_mode
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    return False


def _synchronise(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _synchronise_folder(folder: Path) -> None:
    """Have the new name survive, too; some file systems cannot."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
