"""Memory that was freed, given back to the system."""

from __future__ import annotations

import sys


def return_freed_memory() -> None:
    """Give pages that hold nothing any more back to the system, where the C library can: glibc.

    Loading a graph frees as much as the graph is long, in pieces that glibc keeps; with PP-OCRv4_mobile_rec they are 13
    of 105 MiB. It takes some milliseconds.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes  # noqa: PLC0415 - numpy has loaded it

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    if trim is not None:
        trim(0)
