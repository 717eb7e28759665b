"""A child process that answers, errs, crashes, hangs, and outlives nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocrhpi.workers.process import WorkerProcess, WorkerProcessFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_S = 60.0
ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "tests.workers.fake_session"]

needs_procfs = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs procfs")


@pytest.fixture
def child(tmp_path: Path) -> Iterator[WorkerProcess]:
    with WorkerProcess(COMMAND, tmp_path / "logs" / "child.log", cwd=ROOT) as child:
        yield child


def state_of(process: int) -> str:
    """Return the state letter of a process, ``gone`` if there is none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "gone"


def wait_for(process: int, *states: str) -> str:
    deadline = time.monotonic() + 10
    while (state := state_of(process)) not in states and time.monotonic() < deadline:
        time.sleep(0.01)
    return state


def test_answers_although_libraries_print_on_stdout(child: WorkerProcess) -> None:
    assert child.ask("echo", TIMEOUT_S, value={"a": [1, 2.5, None, "中"]}) == {"a": [1, 2.5, None, "中"]}
    assert 3 < child.ask("memory", TIMEOUT_S) < 5000
    said = child.log.read_text("utf-8")
    assert "noise from C" in said
    assert "noise from Python" in said


def test_reported_errors_leave_it_alive(child: WorkerProcess) -> None:
    with pytest.raises(WorkerProcessFailed, match=r"^fail: RuntimeError: out of memory in a traceback$"):
        child.ask("fail", TIMEOUT_S)
    assert child.ask("echo", TIMEOUT_S, value=1) == 1


@pytest.mark.parametrize(("name", "telling"), [("SIGSEGV", "SIGSEGV"), ("SIGKILL", r"SIGKILL \(out of memory\?\)")])
def test_a_crash_is_told_with_the_signal_also_to_who_asks_next(child: WorkerProcess, name: str, telling: str) -> None:
    child.ask("echo", TIMEOUT_S, value=0)
    with pytest.raises(WorkerProcessFailed, match=f"^crash: died of {telling}; its last words: .*noise"):
        child.ask("crash", TIMEOUT_S, name=name)
    with pytest.raises(WorkerProcessFailed, match=f"^echo: died of {telling}"):
        child.ask("echo", TIMEOUT_S, value=1)
    assert not child.alive


def test_a_hang_ends_at_the_time_limit(child: WorkerProcess) -> None:
    child.ask("echo", TIMEOUT_S, value=0)
    start = time.monotonic()
    with pytest.raises(WorkerProcessFailed, match=r"hang: no answer within 0\.2 s"):
        child.ask("hang", 0.2)
    assert time.monotonic() - start < 5
    assert not child.alive


@pytest.mark.parametrize(
    ("command", "arguments", "passing", "died"),
    [
        ("fail", {}, "", False),
        ("fill", {}, "disk", False),
        ("crash", {"name": "SIGSEGV"}, "", True),
        ("crash", {"name": "SIGKILL"}, "killed", True),
        ("crash", {"name": "SIGTERM"}, "killed", True),
        ("hang", {}, "time", False),
    ],
    ids=str,
)
def test_what_may_go_well_another_time(
    child: WorkerProcess, command: str, arguments: dict[str, str], passing: str, died: bool
) -> None:
    child.ask("echo", TIMEOUT_S, value=0)
    with pytest.raises(WorkerProcessFailed) as caught:
        child.ask(command, 0.2 if command == "hang" else TIMEOUT_S, **arguments)
    assert (caught.value.passing, caught.value.died) == (passing, died)


def test_a_program_that_ends_at_once_is_a_reason(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('not a reply'); raise SystemExit(3)"]
    with (
        WorkerProcess(command, tmp_path / "log") as child,
        pytest.raises(WorkerProcessFailed, match="load: ended with exit status 3; its last words: none"),
    ):
        child.ask("load", TIMEOUT_S)


@needs_procfs
def test_it_is_stopped_between_requests_and_closing_ends_it(tmp_path: Path) -> None:
    child = WorkerProcess(COMMAND, tmp_path / "log", cwd=ROOT)
    child.ask("echo", TIMEOUT_S, value=0)
    process = child._process.pid
    assert wait_for(process, "T") == "T"
    child.close()
    child.close()
    assert wait_for(process, "gone") == "gone"


PARENT = """
import sys
from pathlib import Path
from ocrhpi.workers.process import WorkerProcess
child = WorkerProcess([sys.executable, "-m", "tests.workers.fake_session"], Path(sys.argv[1]))
child.ask("echo", 60, value=0)
print(child._process.pid, flush=True)
sys.stdin.read()
"""


@needs_procfs
def test_a_stopped_child_dies_with_its_parent(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "log")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        process = int(parent.stdout.readline())
        assert wait_for(process, "T") == "T"
        os.kill(parent.pid, signal.SIGKILL)
    assert wait_for(process, "gone", "Z") in {"gone", "Z"}
