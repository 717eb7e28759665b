"""The unfinished download of one file: ``<file>.part``, and a note on what it is a part of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrhpi.data_files import read_bounded, read_json

if TYPE_CHECKING:
    from pathlib import Path

PART_SUFFIX = ".part"


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Where a download may go on.

    Attributes:
        offset: Bytes that are already there; at least 1.
        etag: The strong ETag of the file they are from.
    """

    offset: int
    etag: str


@dataclass(frozen=True, slots=True)
class PartialFile:
    """The part that has arrived so far.

    Attributes:
        path: The file that the bytes are written to.
        note: Says which URL and which version of its file the bytes are from.
    """

    path: Path
    note: Path

    @classmethod
    def beside(cls, target: Path) -> PartialFile:
        """Return the partial file of ``target``; it lies in the same directory."""
        name = target.name + PART_SUFFIX
        return cls(target.with_name(name), target.with_name(name + ".json"))

    def size_bytes(self) -> int:
        """Return how many bytes have arrived."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def resume_point(self, url: str) -> ResumePoint | None:
        """Return where the download of ``url`` may go on; None if it must begin anew."""
        offset = self.size_bytes()
        if not offset:
            return None
        try:
            note = read_json(read_bounded(self.note))
        except (OSError, ValueError):
            return None
        if not isinstance(note, dict) or note.get("url") != url or not isinstance(note.get("etag"), str):
            return None
        return ResumePoint(offset, note["etag"])

    def begin(self, url: str, etag: str | None) -> None:
        """Forget what has arrived and note that the next bytes are from the version ``etag`` of ``url``.

        Without an ETag, or with a weak one, there is no way to know later that the file is still the same:
        then nothing is noted, and the part cannot be resumed.
        """
        self.discard()
        if etag and not etag.startswith("W/"):
            self.note.write_text(json.dumps({"url": url, "etag": etag}), encoding="utf-8")

    def discard(self) -> None:
        """Forget what has arrived."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def install(self, target: Path) -> None:
        """Make the part, now whole, the file ``target``."""
        self.path.replace(target)
        self.note.unlink(missing_ok=True)
