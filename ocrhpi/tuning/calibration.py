"""Tuning, step 2: the lines that candidates are gated and timed on, shipped ones of known text or the user's own."""

from __future__ import annotations

import hashlib
import io
import json
import os
import unicodedata
import zipfile
from dataclasses import dataclass
from importlib import resources
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ocrhpi.errors import OptionError
from ocrhpi.measuring.stream import LineStream, recurring_widths
from ocrhpi.recognition.decoding import decode_image
from ocrhpi.recognition.geometry import line_geometry
from ocrhpi.recognition.inputs import DEFAULT_LIMITS, SUFFIXES, read_lines
from ocrhpi.recognition.labels import read_labels
from ocrhpi.values import UnreadableLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.values import InputSpec, Pixels

MIN_LINES = 20
"""With fewer lines of the user's, the shipped ones are read too: equal text on a handful of lines says little."""

MAX_LINES = 300
"""Lines of a set, unless more or fewer are asked for."""

LABEL_FILES = ("labels.txt", "rec_gt.txt", "label.txt")
"""Where the texts of the user's lines may stand, in PaddleOCR's format; the first that exists is read."""

_OPTION = "calibration_dir"
_MAX_BYTES = 512 << 20  # of pixels; 300 real lines take some 30 MiB, 300 photographs would take 10 GiB
_PIECES = 0.5  # of the shipped lines; decision 23


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationLine:
    """One line to be read.

    Attributes:
        name: Its file, relative to the user's folder, or in the shipped archive; of a page after the first, with its
            0-based number: ``scan.tif[1]``.
        text: What is written on it, right-to-left scripts in reading order; None where that is not known.
        pixels: The image.
    """

    name: str
    text: str | None
    pixels: Pixels


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationSet:
    """The lines of a tuning.

    Attributes:
        directory: The user's folder, absolute; None for the shipped lines.
        lines: All lines, the user's first. The shipped ones are in such an order that any number of the first of them
            stand for all: their widths, scripts and difficulties are in the same shares.
        own: How many of the first lines are timed: all, or without the shipped ones that were added.
        skipped: Why images of the folder are left out, a sentence each that names the file.
    """

    directory: str | None
    lines: tuple[CalibrationLine, ...]
    own: int
    skipped: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """``shipped``, or the user's folder."""
        return self.directory or "shipped"

    def stream(self, spec: InputSpec, *, seed: int = 0) -> LineStream:
        """Return a stream of these lines: of the user's alone, however few, else of the shipped ones.

        Of the user's lines those keep their width that another one has, too: such widths recur in use. The shipped ones
        are sentences; what a detector finds is a word or a number as often, so of half of them a piece is read.
        """
        lines = [line.pixels for line in self.lines[: self.own]]
        recurring: Sequence[int] = ()
        if self.directory is not None:
            sizes = (line.shape[:2] for line in lines)
            recurring = recurring_widths([line_geometry(width, height, spec).resized_width for height, width in sizes])
        pieces = _PIECES if self.directory is None else 0.0
        return LineStream(lines, recurring=recurring, pieces=pieces, seed=seed)


def load_calibration(directory: Path | str | None = None, *, limit: int = MAX_LINES) -> CalibrationSet:
    """Load the lines that candidates are gated and timed on.

    Of a folder, images at any depth are lines, sorted by path. The first of `LABEL_FILES` in the folder itself gives
    their texts, as `ocrhpi.recognition.labels.read_labels` reads them; images without one, or with an empty one, are of
    unknown text. Of more than ``limit`` images an evenly spread sample is taken, the same each time; of a file of
    several pages, the first ones for which there is room. Images that cannot be read are left out and reported.

    A folder with fewer than `MIN_LINES` readable lines is filled up with shipped ones: they are gated on as well, but
    what is timed are the user's lines alone.

    Args:
        directory: The user's folder; None for the shipped lines.
        limit: Most lines of the set.

    Raises:
        OptionError: The folder does not exist or cannot be listed, holds no readable image, or its labels are
            malformed or fit none of its images; or the limit is below 1.
    """
    if limit < 1:
        raise OptionError("limit", f"received {limit}, expected at least one line")
    if directory is None:
        lines = _shipped_lines(limit)
        return CalibrationSet(None, lines, len(lines))
    folder = _folder(directory)
    files = _image_files(folder)
    labels = _labels(folder, files)
    own, skipped = _own_lines(folder, _spread(files, limit), labels, limit)
    if not own:
        raise OptionError(_OPTION, f"none of the images in {folder} can be read; the first: {skipped[0]}")
    lines = (*own, *_shipped_lines(limit - len(own))) if len(own) < MIN_LINES else tuple(own)
    return CalibrationSet(str(folder), lines, len(own), tuple(skipped))


def calibration_digest(directory: Path | str | None = None, *, limit: int = MAX_LINES) -> str:
    """Return a SHA-256, as hex, that changes when what `load_calibration` returns does; decodes no image.

    Args:
        directory: As there.
        limit: As there.

    Raises:
        OptionError: The folder does not exist, cannot be listed or read, or holds no image.
    """
    if directory is None:
        return hashlib.sha256(f"{limit}\n".encode() + _shipped_archive()).hexdigest()
    folder = _folder(directory)
    files = _image_files(folder)
    labels = [folder / name for name in LABEL_FILES if (folder / name).is_file()][:1]
    digest = hashlib.sha256(f"{limit} of {len(files)}\n".encode())
    for file in (*_spread(files, limit), *labels):
        try:
            content = hashlib.sha256(file.read_bytes()).hexdigest()
        except OSError as error:
            raise OptionError(_OPTION, f"{file} cannot be read ({error.strerror}); make it readable") from error
        digest.update(json.dumps([_name(file, folder), content]).encode())
    if len(files) < MIN_LINES:  # shipped lines may be added
        digest.update(_shipped_archive())
    return digest.hexdigest()


def _shipped_archive() -> bytes:
    return (resources.files("ocrhpi") / "tuning" / "data" / "lines.zip").read_bytes()


def _shipped_lines(limit: int) -> tuple[CalibrationLine, ...]:
    with zipfile.ZipFile(io.BytesIO(_shipped_archive())) as archive:
        index = archive.read("index.tsv").decode().rstrip("\n").split("\n")[1:]
        rows = [row.split("\t") for row in index[:limit]]
        return tuple(
            CalibrationLine(name, text, decode_image(archive.read(name), name, DEFAULT_LIMITS.max_pixels))
            for name, text, *_ in rows
        )


def _folder(directory: Path | str) -> Path:
    folder = Path(os.path.abspath(directory))  # noqa: PTH100 - resolve() would show another path than the user gave
    if not os.fspath(directory) or not folder.is_dir():
        kind = "a file" if folder.is_file() else "no directory"
        raise OptionError(
            _OPTION, f"received {str(directory)!r}, {kind}; expected a directory with images of single text lines"
        )
    return folder


def _image_files(folder: Path) -> list[Path]:
    """List the images below ``folder``, without hidden files, as recognition lists a directory."""

    def refuse(fault: OSError) -> None:
        raise OptionError(_OPTION, f"{fault.filename} cannot be listed ({fault.strerror}); make it readable")

    files = []
    for place, subfolders, names in os.walk(folder, onerror=refuse):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        files += [Path(place, name) for name in names if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    if not files:
        raise OptionError(
            _OPTION, f"{folder} holds no image; expected files, at any depth, that end in one of {' '.join(SUFFIXES)}"
        )
    return sorted(files, key=lambda file: _name(file, folder))


def _spread(files: Sequence[Path], limit: int) -> list[Path]:
    count = min(len(files), limit)
    return [files[number * len(files) // count] for number in range(count)]


def _own_lines(
    folder: Path, files: Sequence[Path], labels: dict[str, str], limit: int
) -> tuple[list[CalibrationLine], list[str]]:
    """Read the files; return their lines, and for those left out why."""
    lines: list[CalibrationLine] = []
    skipped: list[str] = []
    room = _MAX_BYTES
    for file in files:
        for item in islice(read_lines(str(file)), limit // len(files)):
            if isinstance(item, UnreadableLine):
                skipped.append(str(item.error))
            elif item.pixels.nbytes > room:
                skipped.append(f"{file}: the images before it take {_MAX_BYTES >> 20} MiB, all that is allowed.")
            else:
                room -= item.pixels.nbytes
                name = _name(file, folder) + (f"[{item.page_index}]" if item.page_index else "")
                lines.append(CalibrationLine(name, labels.get(_key(name)) or None, item.pixels))
    return lines, skipped


def _name(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()


def _key(path: str) -> str:
    """Return the one spelling under which an image and its label meet, whichever system wrote either."""
    return unicodedata.normalize("NFC", PurePosixPath(path.strip().replace("\\", "/")).as_posix())


def _labels(folder: Path, files: Sequence[Path]) -> dict[str, str]:
    """Return the known texts by image, from the first file of labels that there is.

    Raises:
        OptionError: It cannot be read, or names none of the images: the paths are relative to another folder.
    """
    file = next((folder / name for name in LABEL_FILES if (folder / name).is_file()), None)
    if file is None:
        return {}
    labels = _read_labels(file)
    images = {_key(_name(image, folder)) for image in files}
    # A page after the first has its number in brackets behind the path.
    if labels and not any(path in images or path.rpartition("[")[0] in images for path in labels):
        first = next(iter(labels))
        raise OptionError(
            _OPTION,
            f"{file} names none of the images in {folder}, its first path is {first!r}; "
            f"expected paths relative to that folder, such as {_name(files[0], folder)!r}",
        )
    return labels


def _read_labels(file: Path) -> dict[str, str]:
    labels: dict[str, str] = {}
    for label in read_labels(file, _OPTION):
        if labels.setdefault(_key(label.path), label.text) != label.text:
            problem = f"{label.path!r} has another text in a line before; keep the right one"
            raise OptionError(_OPTION, f"{file}, line {label.row}: {problem}")
    return labels
