"""How a tuning is followed while it runs: a live display on a terminal, lines in the log elsewhere."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocrhpi.tuning.progress import OnProgress, Step

_log = logging.getLogger("ocrhpi")


@contextmanager
def watching(total_s: float | None = None, *, stream: TextIO | None = None) -> Iterator[OnProgress]:
    """Show how far a tuning is, from its first step until the context is left; a terminal is then as it was before.

    On a terminal: what is tried, what leads, and how much of the budget is spent. Elsewhere nothing is shown; a line
    is logged at INFO whenever something else is being done.

    Args:
        total_s: Seconds of the budget; None: those that are left at the first step.
        stream: Where to show it; None: stderr.
    """
    stream = sys.stderr if stream is None else stream
    if not _is_terminal(stream):
        yield _Log()
        return
    from ocrhpi.report.screen import Screen  # noqa: PLC0415 - rich is needed on a terminal only

    with Screen(stream, total_s) as screen:
        yield screen.show


def _is_terminal(stream: TextIO | None) -> bool:
    """Whether the cursor can be moved there; without a console Python has no stderr."""
    if stream is None or os.environ.get("TERM", "").lower() in {"dumb", "unknown"}:
        return False
    try:
        return stream.isatty()
    except ValueError:  # it was closed
        return False


class _Log:
    """Logs each kind of step once."""

    def __init__(self) -> None:
        self._doing = ""

    def __call__(self, step: Step) -> None:
        if step.doing == self._doing:
            return
        self._doing = step.doing
        leads = f"; {step.leader} leads" if step.leader else ""
        _log.info("tuning: %s (%.0f s left%s)", step.doing, step.left_s, leads)
