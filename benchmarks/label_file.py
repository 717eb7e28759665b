"""Files of reference texts: tab-separated, with a header and the columns ``file``, ``text`` and perhaps ``score``."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Label", "read_label_file"]


class Label(NamedTuple):
    """What is read on a line, and how sure the reference was; None where the file does not say."""

    text: str
    score: float | None


def read_label_file(path: Path) -> dict[str, Label]:
    """Return file name -> label, in the order of the file."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {row["file"]: Label(row["text"], float(row["score"]) if row.get("score") else None) for row in rows}
