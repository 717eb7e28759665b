"""Files of data that others wrote, read so that none of them can take the process along, or all of its memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 64 << 20
"""No file of data is longer; the largest that is known, a graph in JSON, has 2 MiB."""

_MAX_MARKS = 2_000_000  # each makes an object of some 100 bytes at most; a graph in JSON has 200,000


def read_bounded(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is longer than `MAX_BYTES`, or its name holds a NUL.
    """
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)  # of a device, no size tells how much would come
    if len(data) > MAX_BYTES:
        raise ValueError(f"longer than {MAX_BYTES >> 20} MiB, which no file of this kind is")
    return data


def read_json(data: bytes | str) -> Any:  # noqa: ANN401 - JSON
    """Return what JSON text holds.

    Raises:
        ValueError: It is no JSON, or holds more than a file of data does; a phrase.
    """
    marks = sum(data.count(mark.encode()) if isinstance(data, bytes) else data.count(mark) for mark in "[{,")
    if marks > _MAX_MARKS:
        raise ValueError(f"more than {_MAX_MARKS} values")
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
