"""The manifest of a fetched model: ``ocrhpi_manifest.json``, written last.

A directory without a valid manifest, or whose files do not have the sizes that it names, is not a model.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ocrhpi.data_files import read_bounded, read_json

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

CONFIG = "inference.yml"
NETWORKS = ("inference.json", "inference.pdmodel")
"""The network in the format of Paddle 3 and, for models exported earlier, of Paddle 2."""
PARAMETERS = "inference.pdiparams"
ONNX = "inference.onnx"
MODEL_FILES = (CONFIG, *NETWORKS, PARAMETERS, ONNX)

MANIFEST_FILE = "ocrhpi_manifest.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One file of a fetched model.

    Attributes:
        size_bytes: Its size.
        sha256: Its hexadecimal SHA-256.
        sha256_known: Whether the source announced the hash; otherwise it was only recorded on arrival.
        origin: The URL, or the package and member, that it came from.
    """

    size_bytes: int
    sha256: str
    sha256_known: bool
    origin: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was fetched, from where and when.

    Attributes:
        model: The official name.
        source: Name of the source.
        fetched_at: Time in UTC, ISO 8601.
        files: File name -> what it is.
    """

    model: str
    source: str
    fetched_at: str
    files: Mapping[str, ManifestEntry]

    def write(self, directory: Path) -> None:
        """Write the manifest into ``directory``."""
        entries = {name: asdict(entry) for name, entry in self.files.items()}
        head = {"format": FORMAT, "model": self.model, "source": self.source, "fetched_at": self.fetched_at}
        text = json.dumps({**head, "files": entries}, indent=2, ensure_ascii=False)
        (directory / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, directory: Path) -> Manifest:
        """Read the manifest in ``directory``.

        Raises:
            OSError: There is none, or it cannot be read.
            ValueError: It is none that this version writes.
        """
        content = read_json(read_bounded(directory / MANIFEST_FILE))
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"no manifest of format {FORMAT}")
        try:
            files = {str(name): _entry(entry) for name, entry in dict(content["files"]).items()}
            return cls(str(content["model"]), str(content["source"]), str(content["fetched_at"]), files)
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"a manifest without {error}") from error


def _entry(content: Mapping[str, Any]) -> ManifestEntry:
    return ManifestEntry(
        size_bytes=int(content["size_bytes"]),
        sha256=str(content["sha256"]),
        sha256_known=bool(content["sha256_known"]),
        origin=str(content["origin"]),
    )


def read_complete(directory: Path, model: str) -> Manifest | None:
    """Return the manifest of ``directory`` if ``model`` lies there complete, by its sizes; else None."""
    try:
        manifest = Manifest.read(directory)
    except (OSError, ValueError):
        return None
    # Only names of model files: a manifest must not lead out of its directory.
    if manifest.model != model or missing_from(manifest.files) or not manifest.files.keys() <= set(MODEL_FILES):
        return None
    whole = all(_has_size(directory / name, entry.size_bytes) for name, entry in manifest.files.items())
    return manifest if whole else None


def _has_size(path: Path, size_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == size_bytes


def missing_from(names: Collection[str]) -> str | None:
    """Say what a model directory that holds the files ``names`` lacks; None if it is complete."""
    if CONFIG not in names:
        return CONFIG
    if ONNX in names:
        return None
    if not any(network in names for network in NETWORKS):
        return f"{' or '.join(NETWORKS)}, or {ONNX}"
    return None if PARAMETERS in names else PARAMETERS
