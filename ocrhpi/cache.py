"""Where ocrhpi keeps what it fetched and made: one directory, which a user may delete at any time."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["CACHE_VARIABLE", "cache_root"]

CACHE_VARIABLE = "OCRHPI_CACHE_DIR"


def cache_root(cache_dir: Path | str | None = None) -> Path:
    """Return the cache directory.

    Args:
        cache_dir: The user's choice; None takes the environment variable ``OCRHPI_CACHE_DIR``, and without
            that the user's cache directory of the operating system.
    """
    chosen = cache_dir or os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs  # noqa: PLC0415 - only the default place needs it

    return Path(platformdirs.user_cache_dir("ocrhpi", appauthor=False))
