"""A bundle whose files are those of its manifest, byte for byte."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrhpi.data_files import read_json
from ocrhpi.edge.config import CALIBRATION, CONFIG, VOCABULARY, BundleConfig
from ocrhpi.edge.fields import Fields
from ocrhpi.edge.manifest import MANIFEST, Manifest
from ocrhpi.edge.store import open_store
from ocrhpi.errors import BundleError

if TYPE_CHECKING:
    import os
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from ocrhpi.edge.store import Store


@dataclass(frozen=True, slots=True)
class Artifact:
    """What an engine loads.

    Attributes:
        name: The bundle and the file in it, for errors.
        path: Where it lies; None in a zip file.
        data: Its content; empty where it lies on its own.
    """

    name: str
    path: Path | None
    data: bytes


@dataclass(frozen=True, slots=True)
class CalibrationEntry:
    """One line that the bundle brings along.

    Attributes:
        file: Its image.
        expected: What was read in it where the bundle was made.
        score: How sure that was.
        written: What is written on it; None where that is not known.
    """

    file: str
    expected: str
    score: float
    written: str | None


class Bundle:
    """An opened bundle. All its files have been checked against the manifest.

    Args:
        path: The folder or the zip file.
        sha256: SHA-256 of the manifest that the bundle must have, as `seal`; None takes any. A manifest vouches for
            the other files; who changes them can write another manifest, which only this finds out.

    Raises:
        BundleError: It is no bundle, or damaged, cut off, changed or incomplete.
    """

    def __init__(self, path: os.PathLike[str] | str, sha256: str | None = None) -> None:
        self._store = open_store(path)
        self.where = self._store.where
        data = self._store.manifest()
        self.seal = hashlib.sha256(data).hexdigest()
        if sha256 is not None and sha256.lower() != self.seal:
            raise BundleError(self.where, MANIFEST, f"its SHA-256 is {self.seal}, expected {sha256.lower()}")
        self.manifest = Manifest.read(self.where, data)
        _check_names(self._store, self.manifest)
        contents = {name: self._checked(name) for name in (CONFIG, VOCABULARY)}
        self.config = BundleConfig.read(self.where, contents[CONFIG])
        self.labels = _labels(self.where, contents[VOCABULARY], space=self.config.space)
        self._artifact = self._checked(self.config.artifact)
        for name in self.manifest.files.keys() - {CONFIG, VOCABULARY, self.config.artifact}:
            self._checked(name)

    def close(self) -> None:
        """Let go of the file. Closing twice is fine."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def take_artifact(self) -> Artifact:
        """Hand over what the engine loads; the bundle itself lets go of it."""
        name, path = self.config.artifact, self._store.path(self.config.artifact)
        data, self._artifact = self._artifact or self._checked(name), b""
        return Artifact(f"{self.where}: {name}", path, b"" if path else data)

    def calibration(self) -> list[CalibrationEntry]:
        """Return the lines that the bundle brings along.

        Raises:
            BundleError: Their list is malformed.
        """
        fields = Fields.of_json(self.where, CALIBRATION, self._checked(CALIBRATION))
        return [
            CalibrationEntry(
                line.get("file", str),
                line.get("expected", str),
                line.get("score", float),
                line.get("written", str) if "written" in line.keys() else None,  # noqa: SIM118 - of Fields
            )
            for line in fields.parts("lines")
        ]

    def image(self, entry: CalibrationEntry) -> bytes:
        """Return the encoded image of a line that the bundle brings along."""
        return self._checked(entry.file)

    def _checked(self, name: str) -> bytes:
        """Return the content of a file, which is what the manifest says."""
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(self.where, name, "is not in the manifest; make the bundle anew")
        size = self._store.size(name)  # first: a few bytes of zip data could hold gigabytes
        if size != entry.size:
            raise BundleError(self.where, name, f"is {size} bytes long, expected {entry.size}; copy the bundle again")
        data = self._store.read(name)
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 != entry.sha256:
            problem = f"was changed or damaged: its SHA-256 is {sha256}, expected {entry.sha256}; copy the bundle again"
            raise BundleError(self.where, name, problem)
        return data


def _check_names(store: Store, manifest: Manifest) -> None:
    names = store.names()
    unknown = sorted(names - manifest.files.keys() - {MANIFEST}) if names is not None else []
    if unknown:
        raise BundleError(store.where, unknown[0], "is not in the manifest; nothing in the bundle is used")


def _labels(where: str, data: bytes, *, space: bool) -> tuple[str, ...]:
    """Return the text of every class: the CTC blank, the vocabulary, and the space where PaddleOCR appended one."""
    try:
        vocabulary = read_json(data)
    except ValueError as error:
        raise BundleError(where, VOCABULARY, f"is no JSON ({error})") from error
    if not isinstance(vocabulary, list) or not all(isinstance(entry, str) for entry in vocabulary):
        raise BundleError(where, VOCABULARY, "expected a list of strings")
    return ("", *vocabulary, *[" "] * space)
