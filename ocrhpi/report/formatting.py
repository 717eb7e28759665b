"""Words and numbers as a terminal may show them, and printing of views."""

from __future__ import annotations

import re
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import RenderableType

COLUMN_GAP = 2
"""Spaces between the columns of `bare_table`."""

_TEN = 10
_BETWEEN_PARTS = re.compile(r"(?<=[,;:]) | (?=\()")


def plain(text: str) -> str:
    """Return the text on one line, without what would move the cursor or change colours: reasons quote any process."""
    line = " ".join(text.split())
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in line)


def decimal(value: float | None) -> str:
    """Return three digits, and all of those before the point; nothing for None."""
    if value is None:
        return ""
    return f"{value:.2f}" if value < _TEN else f"{value:.1f}" if value < _TEN * _TEN else f"{value:.0f}"


def times(ratio: float) -> str:
    """Return how many times as fast something is, such as ``2.31x``."""
    return f"{ratio:.2f}x" if ratio < _TEN else f"{ratio:.1f}x"


def percent(share: float | None) -> str:
    """Return a rate such as ``0.12 %``; nothing for None."""
    return "" if share is None else f"{100 * share:.2f} %"


def wrapped(name: str, width: int) -> str:
    """Break the name of a candidate between its parts, ``batch 8`` being one, into lines of at most ``width``."""
    lines = [""]
    for part in _BETWEEN_PARTS.split(name):
        longer = f"{lines[-1]} {part}" if lines[-1] else part
        if lines[-1] and len(longer) > width:
            lines.append(part)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def beside_the_cpu(machine: Mapping[str, Any]) -> Iterator[str]:
    """Yield what else is known of a machine; a file of another version may know other things."""
    if machine.get("usable_cores"):
        yield f"{machine['usable_cores']} cores"
    if machine.get("memory_gib"):
        yield f"{machine['memory_gib']} GiB"
    if machine.get("os"):
        yield str(machine["os"])
    gpus = machine.get("gpus")
    if isinstance(gpus, list):
        yield from map(str, gpus)
    if machine.get("gpu_driver"):
        yield f"driver {machine['gpu_driver']}"


def bare_table() -> Table:
    """Return a table without lines, as all commands print theirs; it has no columns yet."""
    return Table(box=None, padding=(0, COLUMN_GAP, 0, 0), pad_edge=False, header_style="bold")


def print_view(view: RenderableType) -> None:
    """Print to stdout, as wide as the terminal; 80 columns where there is none, or what ``COLUMNS`` says."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A pipe on Windows cannot take every text that was read; it gets their code points instead.
        sys.stdout.reconfigure(errors="backslashreplace")
    Console(highlight=False, markup=False, emoji=False).print(view, crop=False)
