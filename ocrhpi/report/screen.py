"""The live display of a tuning on a terminal."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from rich.console import RenderableType
    from typing_extensions import Self

    from ocrhpi.tuning.progress import Step

# The countdown is drawn by a thread of this process while candidates are timed: rarely, so that it costs them nothing.
_COUNTDOWN_PER_S = 1.0
_MIN_PAUSE_S = 0.1
_BAR_WIDTH = 40


class Screen:
    """A few lines at the end of the terminal, drawn anew with each step; a context manager: leaving removes them.

    Args:
        stream: The terminal.
        total_s: Seconds of the budget; None: those that are left at the first step.
        clock: Seconds since some moment.
    """

    def __init__(
        self, stream: TextIO, total_s: float | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._total_s = total_s
        self._clock = clock
        self._shown: tuple[Step, float] | None = None
        self._drawn = -_MIN_PAUSE_S
        self._live: Live | None = None
        self._stack = ExitStack()

    def show(self, step: Step) -> None:
        """Show a step; the display begins with the first one."""
        now = self._clock()
        self._shown = (step, now)
        if self._total_s is None:
            self._total_s = step.left_s
        if self._live is None:
            self._live = self._start()
        elif now - self._drawn >= _MIN_PAUSE_S:
            self._drawn = now
            self._live.refresh()

    def view(self) -> RenderableType:
        """Return what is shown now."""
        if self._shown is None:
            return Text()
        step, then = self._shown
        facts = Table.grid(padding=(0, 1))
        facts.add_column(no_wrap=True)
        facts.add_column(no_wrap=True, overflow="ellipsis")
        facts.add_row(Text(_progress(step)), Text(step.candidate, style="bold"))
        facts.add_row(Text("leading so far"), Text(step.leader or "nothing yet", style="green"))
        title = Text("Measuring what reads fastest on this machine; Ctrl-C stops it", style="dim", no_wrap=True)
        return Group(title, facts, self._time(max(0.0, step.left_s - (self._clock() - then))))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> Live:
        live = Live(
            get_renderable=self.view,
            console=self._console,
            refresh_per_second=_COUNTDOWN_PER_S,
            transient=True,
            redirect_stdout=False,  # may be a file
            redirect_stderr=self._stream is sys.stderr,
        )
        self._stack.callback(live.stop)  # before it starts: an interrupt must not leave the cursor hidden
        live.start(refresh=True)
        self._stack.enter_context(_logging_above(self._stream))
        return live

    def _time(self, left_s: float) -> RenderableType:
        total_s = self._total_s or 1.0
        bar = ProgressBar(total=total_s, completed=min(total_s, total_s - left_s), width=_BAR_WIDTH)
        line = Table.grid(padding=(0, 1))
        line.add_row(bar, Text(f"{left_s:.0f} s of {total_s:.0f} s left" if left_s else "time is up, finishing"))
        return line


@contextmanager
def _logging_above(stream: TextIO) -> Iterator[None]:
    """Let loggers write above the display, as it makes everything else do that is written to stderr meanwhile."""
    handlers = [*logging.getLogger().handlers, *logging.getLogger("ocrhpi").handlers]
    moved = [one for one in handlers if isinstance(one, logging.StreamHandler) and one.stream is stream]
    for handler in moved:
        handler.setStream(sys.stderr)
    try:
        yield
    finally:
        for handler in moved:
            handler.setStream(stream)


def _progress(step: Step) -> str:
    return f"{step.doing} {step.done}/{step.total}" if step.total > 1 else step.doing
