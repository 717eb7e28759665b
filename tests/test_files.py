"""Files are whole or not there, whoever writes them at the same time, and what dead processes left is removed."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ocrhpi import files
from ocrhpi.errors import ExportError, OutputError
from ocrhpi.files import (
    TemporaryFolder,
    disk_fault,
    locked,
    replacing,
    scratch_file,
    sha256_of,
    sweep,
    temporary_folder,
    told_as_output,
    write_atomically,
)

REPOSITORY = Path(__file__).parent.parent
needs_posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such thing")


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


WRITER = """
import sys
from pathlib import Path
from ocrhpi.files import write_atomically
for _ in range(300):
    write_atomically(Path(sys.argv[1]), sys.argv[2] * 100_000, durable=False)
"""


def test_two_processes_that_write_the_same_file_never_tear_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    seen: set[str] = set()
    with start(WRITER, path, "A") as one, start(WRITER, path, "B") as other:
        while one.poll() is None or other.poll() is None:
            if path.exists():
                text = path.read_text("utf-8")
                assert len(text) == 100_000
                assert len(set(text)) == 1
                seen.add(text[0])
        assert (one.wait(), other.wait()) == (0, 0)
    assert seen == {"A", "B"}
    assert list(tmp_path.iterdir()) == [path]


def test_content_and_mode_are_those_of_any_new_file(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    write_atomically(path, "ä\r\n")
    other.touch()
    assert path.read_bytes() == "ä\r\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)
    write_atomically(path, b"\0")
    assert path.read_bytes() == b"\0"
    assert sha256_of(path) == hashlib.sha256(b"\0").hexdigest()


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_errors_name_the_file_and_not_its_temporary_name(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "a"
    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(path, "")
    assert caught.value.filename == str(path)
    with (
        pytest.raises(OutputError, match=r"missing/a could not be written: No such file or directory\."),
        told_as_output(path),
    ):
        write_atomically(path, "")


def test_names_of_all_lengths(tmp_path: Path) -> None:
    for name in ("ä" * 127, "x" * 255):
        write_atomically(tmp_path / name, "")
    assert len(list(tmp_path.iterdir())) == 2


@needs_posix
def test_links_are_followed_and_devices_stay(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "there" / "a")
    write_atomically(link, "x")
    assert link.is_symlink()
    assert (tmp_path / "there" / "a").read_text() == "x"
    write_atomically(Path("/dev/null"), "x")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def ended_process() -> int:
    with start("") as process:
        return process.pid


@needs_posix
def test_leftovers_of_dead_processes_are_removed_at_the_next_write(tmp_path: Path) -> None:
    here, elsewhere = files._world(), "0" * 8
    dead = ended_process()
    names = {
        "dead": f".a.{here}-{dead}-01234567.tmp",
        "alive": f".a.{here}-{os.getpid()}-01234567.tmp",
        "elsewhere": f".a.{elsewhere}-{dead}-01234567.tmp",
        "elsewhere, old": f".a.{elsewhere}-{dead}-76543210.tmp",
        "a user's": "a.tmp",
        "a user's, hidden": ".a.tmp",
    }
    for name in names.values():
        (tmp_path / name).touch()
    (tmp_path / f".folder.{here}-{dead}-01234567.tmp").mkdir()
    os.utime(tmp_path / names["elsewhere, old"], (time.time() - 9999,) * 2)
    write_atomically(tmp_path / "a", "")
    left = {path.name for path in tmp_path.iterdir()}
    stay = {names[name] for name in ("alive", "elsewhere", "a user's", "a user's, hidden")}
    assert left == {"a", *stay}
    sweep(tmp_path, alone=True)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "a.tmp"}


def test_scratch_files_go_and_are_of_one_caller(tmp_path: Path) -> None:
    with scratch_file(tmp_path / "a") as one, scratch_file(tmp_path / "a") as other:
        assert one != other
        assert one.parent == other.parent == tmp_path
        one.mkdir()
        (one / "b").touch()
    assert list(tmp_path.iterdir()) == []


HOLDER = """
import sys, time
from pathlib import Path
from ocrhpi.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_is_held_by_one_and_freed_when_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with start(HOLDER, path) as holder:
        assert said(holder) == "held"
        with pytest.raises(TimeoutError), locked(path, 0):
            pytest.fail("two hold it")
        holder.kill()
    with locked(path, 5) as held:
        assert held


def test_a_lock_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), locked(tmp_path / "file" / ".lock"):
        pytest.fail("there is no lock file")


def wrapped(inner: Exception) -> Exception:
    error = ExportError("model", "check", "failed")
    error.__cause__ = inner
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "x"), "No space left on device"),
        (wrapped(OSError(errno.EROFS, "x")), "Read-only file system"),
        (ExportError("model", "conversion", "OSError: [Errno 28] No space left on device"), "No space left on device"),
        (OutputError("a", "Permission denied", errno.EACCES), "Permission denied"),
        (PermissionError(errno.EACCES, "of a file that is read"), ""),
        (wrapped(ValueError("no such operator")), ""),
        (None, ""),
    ],
    ids=repr,
)
def test_what_is_the_fault_of_a_disk(error: Exception | None, reason: str) -> None:
    assert disk_fault(error) == reason


OWNER = """
import os, sys, tempfile, time
tempfile.tempdir = sys.argv[1]
from ocrhpi.files import TemporaryFolder
folder = TemporaryFolder()
print(folder.path, flush=True)
if sys.argv[2] == "forks" and not (child := os.fork()):
    folder.remove()
    sys.exit()
if sys.argv[2] == "forks":
    os.waitpid(child, 0)
    print(folder.path.is_dir(), flush=True)
time.sleep(60)
"""


@needs_posix
def test_the_folder_of_a_killed_process_goes_with_the_next_one_and_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "ocrhpi-of-a-user").mkdir()
    (tmp_path / "ocrhpi-link").symlink_to(tmp_path)
    with start(OWNER, tmp_path, "sleeps") as killed, start(OWNER, tmp_path, "sleeps") as alive:
        dead, other = Path(said(killed)), Path(said(alive))
        killed.kill()
        killed.wait()
        (dead / "full.onnx").touch()
        with temporary_folder() as own:
            assert not dead.exists()
            assert other.is_dir()
            with temporary_folder() as second:
                assert own.is_dir()
            assert not second.exists()
        assert not own.exists()
        alive.kill()
    TemporaryFolder().remove()
    assert {path.name for path in tmp_path.iterdir()} == {"ocrhpi-of-a-user", "ocrhpi-link"}


@needs_posix
def test_a_fork_leaves_the_folder_to_its_owner(tmp_path: Path) -> None:
    with start(OWNER, tmp_path, "forks") as owner:
        folder = said(owner)
        assert folder.startswith(str(tmp_path))
        assert said(owner) == "True"
        owner.kill()
