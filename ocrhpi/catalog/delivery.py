"""What a source of models is, and what it hands over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ocrhpi.files import sha256_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from ocrhpi.catalog.transfer import Downloader

CONFIG = "inference.yml"
NETWORKS = ("inference.json", "inference.pdmodel")
"""The network in the format of Paddle 3 and, for models exported earlier, of Paddle 2."""
PARAMETERS = "inference.pdiparams"
ONNX = "inference.onnx"
MODEL_FILES = (CONFIG, *NETWORKS, PARAMETERS, ONNX)


@dataclass(frozen=True, slots=True)
class DeliveredFile:
    """One file of a model, fetched.

    Attributes:
        path: Where it lies; its name is its name in the model directory.
        sha256: Hexadecimal SHA-256 of what lies there.
        size_bytes: Size of what lies there.
        origin: The URL, or the package and member, that it came from.
        sha256_known: Whether the hash was known beforehand and matched, or is only recorded.
    """

    path: Path
    sha256: str
    size_bytes: int
    origin: str
    sha256_known: bool

    @classmethod
    def of(cls, path: Path, origin: str, *, sha256_known: bool = False) -> DeliveredFile:
        """Describe the file at ``path``, which is read once for its hash."""
        return cls(path, sha256_of(path), path.stat().st_size, origin, sha256_known)


class Source(Protocol):
    """A place that models come from."""

    @property
    def name(self) -> str:
        """The name by which users choose it."""

    def deliver(self, model: str, work: Path, downloader: Downloader) -> list[DeliveredFile]:
        """Fetch the official model ``model`` into the existing directory ``work``.

        Unfinished ``.part`` files of an earlier call may lie in ``work`` and are resumed.

        Raises:
            SourceFailed: The source does not answer, or does not have the model, or what it sent is wrong.
        """


def missing_from(names: Collection[str]) -> str | None:
    """Say what a model directory that holds the files ``names`` lacks; None if it is complete."""
    if CONFIG not in names:
        return CONFIG
    if ONNX in names:
        return None
    if not any(network in names for network in NETWORKS):
        return f"{' or '.join(NETWORKS)}, or {ONNX}"
    return None if PARAMETERS in names else PARAMETERS
