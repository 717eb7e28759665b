"""A bundle whose files are those of its manifest, byte for byte.

They are in a folder or in a zip file. Nothing is ever unpacked, so no name can lead elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import stat
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ocrhpi.closing import Closing
from ocrhpi.data_files import read_json
from ocrhpi.edge.config import CALIBRATION, CONFIG, MANIFEST, VOCABULARY, BundleConfig, Fields, Manifest, is_plain_name
from ocrhpi.errors import BundleError

if TYPE_CHECKING:
    from zipfile import ZipInfo


_MAX_MANIFEST_BYTES = 1 << 20
_MAX_FILES = 10_000
_ENCRYPTED = 0x1


class Store(ABC):
    """The files.

    Attributes:
        where: The bundle as the caller named it, for errors.
    """

    where: str

    @abstractmethod
    def names(self) -> set[str] | None:
        """Return the names of all files; None where others may lie beside them."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Return the length of a file in bytes.

        Raises:
            BundleError: There is no such file.
        """

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            BundleError: There is no such file, or it is damaged.
        """

    @abstractmethod
    def path(self, name: str) -> Path | None:
        """Return where a file lies, for engines that map it into memory; None where it does not lie on its own."""

    def close(self) -> None:  # noqa: B027 - a folder holds nothing open
        """Let go of the file. Closing twice is fine."""

    def manifest(self) -> bytes:
        """Return the manifest.

        Raises:
            BundleError: There is none, or it is too long to be one.
        """
        if self.size(MANIFEST) > _MAX_MANIFEST_BYTES:
            raise BundleError(self.where, MANIFEST, f"is longer than {_MAX_MANIFEST_BYTES} bytes")
        return self.read(MANIFEST)


class FolderStore(Store):
    """A bundle that is a folder; other files may lie in it and are never looked at."""

    def __init__(self, folder: Path) -> None:
        self.where = str(folder)
        self._folder = folder

    def names(self) -> None:  # noqa: D102 - the contract's
        return None

    def size(self, name: str) -> int:  # noqa: D102 - the contract's
        try:
            status = (self._folder / name).stat()
        except OSError as error:
            raise self._missing(name, error) from error
        if not stat.S_ISREG(status.st_mode):
            raise BundleError(self.where, name, "is no file; copy the bundle again")
        return status.st_size

    def read(self, name: str) -> bytes:  # noqa: D102 - the contract's
        try:
            return (self._folder / name).read_bytes()
        except OSError as error:
            raise self._missing(name, error) from error

    def path(self, name: str) -> Path:  # noqa: D102 - the contract's
        return self._folder / name

    def _missing(self, name: str, error: OSError) -> BundleError:
        return BundleError(self.where, name, f"cannot be read ({error.strerror}); copy the bundle again")


class ZipStore(Store):
    """A bundle that is a zip file, refused if one of its entries is none that `ocrhpi bundle` writes.

    Raises:
        BundleError: It is no zip file, cut off, or has an unfit entry.
    """

    def __init__(self, file: Path) -> None:
        import zipfile  # noqa: PLC0415 - a folder does without

        self.where = str(file)
        # NotImplementedError: an unknown kind of compression; RuntimeError: an encrypted entry.
        self._faults: tuple[type[Exception], ...] = (
            *(OSError, EOFError, ValueError, NotImplementedError, RuntimeError),
            *_zip_errors(),
        )
        try:
            self._zip = zipfile.ZipFile(file)
            entries = self._zip.infolist()
        except self._faults as error:
            raise BundleError(file, "zip file", f"is damaged, cut off or none ({error}); copy it again") from error
        self._entries = self._checked(entries)

    def names(self) -> set[str]:  # noqa: D102 - the contract's
        return set(self._entries)

    def size(self, name: str) -> int:  # noqa: D102 - the contract's
        return self._entry(name).file_size

    def read(self, name: str) -> bytes:  # noqa: D102 - the contract's
        try:
            return self._zip.read(self._entry(name))
        except self._faults as error:
            raise BundleError(self.where, name, f"is damaged ({error}); copy the bundle again") from error

    def path(self, name: str) -> None:  # noqa: ARG002, D102 - the contract's
        return None

    def close(self) -> None:  # noqa: D102 - the contract's
        self._zip.close()

    def _entry(self, name: str) -> ZipInfo:
        if name not in self._entries:
            raise BundleError(self.where, name, "is missing; make the bundle anew")
        return self._entries[name]

    def _checked(self, entries: list[ZipInfo]) -> dict[str, ZipInfo]:
        if len(entries) > _MAX_FILES:
            raise BundleError(self.where, "zip file", f"has more than {_MAX_FILES} entries, no bundle has")
        checked: dict[str, ZipInfo] = {}
        for entry in entries:
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if not is_plain_name(entry.filename) or entry.orig_filename != entry.filename:
                problem = f"has an entry outside the bundle or of an unfit name: {entry.orig_filename!r}"
            elif entry.filename in checked:
                problem = f"has an entry twice: {entry.filename!r}"
            elif kind not in {0, stat.S_IFREG} or entry.flag_bits & _ENCRYPTED:
                problem = f"has an entry that is no regular or an encrypted file: {entry.filename!r}"
            else:
                checked[entry.filename] = entry
                continue
            raise BundleError(self.where, "zip file", f"{problem}; nothing in it is used")
        return checked


def _zip_errors() -> tuple[type[Exception], ...]:
    import struct  # noqa: PLC0415 - see above
    import zipfile  # noqa: PLC0415
    import zlib  # noqa: PLC0415

    return zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error


def open_store(path: os.PathLike[str] | str) -> Store:
    """Open the folder or the zip file ``path``.

    Raises:
        BundleError: It is neither.
    """
    location = Path(os.fsdecode(path))
    if location.is_dir():
        return FolderStore(location)
    if location.is_file():
        return ZipStore(location)
    raise BundleError(location, "bundle", "not found; expected a folder or a zip file that 'ocrhpi bundle' wrote")


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


class Bundle(Closing):
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
