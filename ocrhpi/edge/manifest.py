"""What a bundle says about its files: which there are, how long they are, and their SHA-256."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrhpi.edge.fields import Fields
from ocrhpi.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST = "manifest.json"
"""The one file of a bundle that stands in no list."""

FORMAT = "ocrhpi-bundle"
FORMAT_VERSION = 1

# A path below the bundle: no drive, no absolute path, no backslash, no "." or ".." and nothing hidden.
_PLAIN_NAME = re.compile(r"[\w][\w.+-]*(?:/[\w][\w.+-]*)*", re.ASCII)
_SHA256 = re.compile("[0-9a-f]{64}")
_MAX_BYTES = 2 << 30


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file.

    Attributes:
        sha256: SHA-256 of its content, as hex.
        size: Its length in bytes.
    """

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of a bundle.

    Attributes:
        target: What the bundle is made for, such as ``onnxruntime-arm64``.
        versions: Packages that made the bundle and their versions.
        files: All other files of the bundle, by their paths in it.
    """

    target: str
    versions: Mapping[str, str]
    files: Mapping[str, FileEntry]

    @classmethod
    def read(cls, where: str, data: bytes) -> Manifest:
        """Read the manifest of the bundle ``where``.

        Raises:
            BundleError: It is none, of another version, or names a file outside the bundle.
        """
        fields = Fields.of_json(where, MANIFEST, data)
        fields.one_of("format", (FORMAT,))
        version = fields.get("version", int)
        if version != FORMAT_VERSION:
            problem = f"received {version}, this runner reads {FORMAT_VERSION}; make the bundle and the runner anew"
            raise fields.error("version", problem)
        versions = fields.part("versions")
        listed = fields.part("files")
        files = {name: _entry(where, name, listed.part(name)) for name in listed.keys()}  # noqa: SIM118 - of Fields
        if sum(entry.size for entry in files.values()) > _MAX_BYTES:
            raise fields.error("files", f"together they are longer than {_MAX_BYTES} bytes, no bundle is")
        names = versions.keys()
        return cls(fields.get("target", str), {name: versions.get(name, str) for name in names}, files)

    def as_values(self) -> dict[str, object]:
        """Return what `read` reads."""
        files = {name: {"sha256": entry.sha256, "size": entry.size} for name, entry in sorted(self.files.items())}
        values: dict[str, object] = {"format": FORMAT, "version": FORMAT_VERSION, "target": self.target}
        return {**values, "versions": dict(self.versions), "files": files}


def is_plain_name(name: str) -> bool:
    """Whether ``name`` is a relative path that stays below the folder it is relative to, on any system."""
    return _PLAIN_NAME.fullmatch(name) is not None


def _entry(where: str, name: str, fields: Fields) -> FileEntry:
    if not is_plain_name(name):
        raise BundleError(where, MANIFEST, f"names a file outside the bundle or of an unfit name: {name!r}")
    entry = FileEntry(fields.get("sha256", str), fields.get("size", int))
    if not _SHA256.fullmatch(entry.sha256) or entry.size < 0:
        raise BundleError(where, MANIFEST, f"has no SHA-256 and size for {name!r}")
    return entry
