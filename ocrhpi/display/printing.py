"""To stdout: what a terminal shows in colour, anything else as plain text."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from rich.console import RenderableType


def print_view(view: RenderableType) -> None:
    """Print to stdout, as wide as the terminal; 80 columns where there is none, or what ``COLUMNS`` says."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A pipe on Windows cannot take every text that was read; it gets their code points instead.
        sys.stdout.reconfigure(errors="backslashreplace")
    Console(highlight=False, markup=False, emoji=False).print(view, crop=False)
