"""Why one source could not give a model; the store gathers these into one `DownloadError`."""

from __future__ import annotations

from ocrhpi.errors import ModelError


class SourceFailed(ModelError, OSError):
    """One source cannot give a model or a file; the next source is asked. Never leaves this room.

    Args:
        reason: What happened, as a phrase without a full stop.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class FileAbsent(SourceFailed):
    """The source answers, and has no such file."""
