"""The version, for the package and for what records it; packaging reads it here, too."""

from __future__ import annotations

__version__ = "0.1.0"
