"""Packages of extras, imported where they are used."""

from __future__ import annotations

from typing import Any

from ocrhpi.errors import MissingExtra


def import_pyarrow() -> Any:  # noqa: ANN401 - the module, which has no types
    """Return the module.

    Raises:
        MissingExtra: It is not installed, or cannot be imported.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - behind an extra
    except ImportError as error:
        raise MissingExtra("batch", f"Parquet needs pyarrow ({error})") from error
    return pa
