"""Following a tuning: a terminal is as it was before, whatever happens; anything else gets a few lines in the log."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ocrhpi.report import live
from ocrhpi.report.live import watching
from ocrhpi.report.screen import Screen
from ocrhpi.tuning.progress import Step

pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")

REPOSITORY = Path(__file__).parents[2]
HIDE, SHOW = b"\x1b[?25l", b"\x1b[?25h"
ERASE_LINE = b"\x1b[2K"


def step(doing: str = "timing", *, left_s: float = 30.0, leader: str = "", done: int = 2) -> Step:
    return Step(doing, "openvino, [exact], batch 8", done, 15, leader, left_s)


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# not a terminal


def test_elsewhere_nothing_is_shown_and_each_kind_of_step_is_logged_once(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO()
    with caplog.at_level(logging.INFO, "ocrhpi"), watching(60.0, stream=stream) as on_progress:
        for doing in ("reading the reference", "timing", "timing"):
            on_progress(step(doing, leader="paddle" if doing == "timing" else ""))
    assert stream.getvalue() == ""
    assert capsys.readouterr() == ("", "")
    assert [record.getMessage() for record in caplog.records] == [
        "tuning: reading the reference (30 s left)",
        "tuning: timing (30 s left; paddle leads)",
    ]
    assert {record.levelname for record in caplog.records} == {"INFO"}


def test_stderr_is_where_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(live, "_is_terminal", seen.append)
    with watching() as on_progress:
        on_progress(step())
    assert seen == [sys.stderr]


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_cannot_move_its_cursor_is_none(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    stream = FakeTerminal()
    with watching(stream=stream) as on_progress:
        on_progress(step())
    assert stream.getvalue() == ""


def test_without_stderr_and_with_a_closed_one_the_log_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ocrhpi")
    closed = io.StringIO()
    closed.close()
    for number, stream in enumerate((None, closed), 1):
        monkeypatch.setattr(sys, "stderr", stream)
        with watching() as on_progress:
            on_progress(step())
        assert len(caplog.records) == number


def test_importing_it_loads_no_rich() -> None:
    program = "import sys; import ocrhpi.report.live; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=REPOSITORY).returncode == 0


# the display


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> FakeTerminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return FakeTerminal()


def test_it_says_what_is_done_what_leads_and_how_long_it_takes(terminal: FakeTerminal) -> None:
    now = [100.0]
    with Screen(terminal, 60.0, clock=lambda: now[0]) as screen:
        screen.show(step(leader="paddle, exact, batch 1"))
        now[0] += 10.0
        screen.show(step("reading all lines", left_s=20.0))
    text = terminal.getvalue()
    assert "timing 2/15" in text
    assert "openvino, [exact], batch 8" in text
    assert "paddle, exact, batch 1" in text
    assert "30 s of 60 s left" in text
    assert "reading all lines 2/15" in text
    assert "nothing yet" in text
    assert "20 s of 60 s left" in text


def test_time_goes_on_between_steps_and_ends(terminal: FakeTerminal) -> None:
    now = [0.0]
    with Screen(terminal, clock=lambda: now[0]) as screen:
        assert screen.view() is not None
        screen.show(step(left_s=30.0))
        for now[0], expected in ((12.0, "18 s of 30 s left"), (99.0, "time is up, finishing")):
            screen._console.print(screen.view())
            assert expected in terminal.getvalue()


def test_many_quick_steps_are_not_all_drawn(terminal: FakeTerminal) -> None:
    with Screen(terminal, 60.0, clock=lambda: 1.0) as screen:
        for number in range(500):
            screen.show(step(done=number))
    assert terminal.getvalue().count("Measuring") < 10


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_terminal_is_clean_after_an_error(error: type[BaseException], terminal: FakeTerminal) -> None:
    before = sys.stderr

    def interrupted() -> None:
        with watching(60.0, stream=terminal) as on_progress:
            on_progress(step())
            raise error

    with pytest.raises(error):
        interrupted()
    assert sys.stderr is before
    text = terminal.getvalue().encode()
    assert text.count(HIDE) == text.count(SHOW) == 1
    assert text.rindex(SHOW) > text.rindex(HIDE)
    after = text[text.rindex(b"s left") :]
    assert after.count(ERASE_LINE) == 4  # as many as were drawn


def test_before_the_first_step_nothing_is_drawn(terminal: FakeTerminal) -> None:
    with watching(60.0, stream=terminal):
        pass
    assert terminal.getvalue() == ""


PROGRAM = """
import logging, sys
logging.basicConfig(format="%(levelname)s: %(message)s")
from ocrhpi.report.live import watching
from ocrhpi.tuning.progress import Step
handler, real = logging.getLogger().handlers[0], sys.stderr
with watching(60.0) as watcher:
    watcher(Step("timing", "openvino", 0, 15, "", 30.0))
    logging.getLogger("ocrhpi").warning("the disk is full")
    print("result", file=sys.stdout, flush=True)
assert (handler.stream, sys.stderr) == (real, real)
logging.getLogger("ocrhpi").warning("over")
"""


def test_what_is_logged_meanwhile_stands_above_the_display_and_stdout_is_left_alone() -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    ) as process:
        os.close(theirs)
        shown = _read_all(ours)
        assert process.stdout is not None
        assert process.stdout.read() == b"result\n"
    assert process.returncode == 0, shown
    warning = shown.index(b"WARNING: the disk is full")
    assert b"Measuring" in shown[:warning]
    assert ERASE_LINE in shown[:warning]  # the display made room for it
    assert shown.rstrip().endswith(b"WARNING: over")
    assert shown.index(SHOW) < shown.index(b"WARNING: over")


def _read_all(terminal: int) -> bytes:
    data, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # Linux: the other end was closed
            break
        if not piece:
            break
        data += piece
    os.close(terminal)
    return data
