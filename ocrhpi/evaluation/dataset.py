"""A dataset of lines of known text, in PaddleOCR's format."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ocrhpi.errors import OptionError, UnreadableInput
from ocrhpi.recognition.inputs import read_lines
from ocrhpi.recognition.labels import find_image, read_labels
from ocrhpi.values import LineImage, UnreadableLine

if TYPE_CHECKING:
    from ocrhpi.recognition.labels import Label


@dataclass(frozen=True, slots=True)
class Dataset:
    """Lines of known text.

    Attributes:
        name: Name of the folder.
        folder: What the paths of the labels are relative to, absolute.
        labels: What is written on each line, in the order of the label file; one image may be there several times.
    """

    name: str
    folder: Path
    labels: tuple[Label, ...]

    def read(self, label: Label) -> LineImage | UnreadableLine:
        """Read the image of a label; of a file of several pages the first, as PaddleOCR does."""
        path = str(find_image(self.folder, label.path) or self.folder / label.path)
        line = None if os.path.isdir(path) else next(read_lines(path), None)  # noqa: PTH112 - Path.is_dir() may raise
        if line is None:
            return UnreadableLine(UnreadableInput(path, "holds no image; expected the file of one line"), path)
        return line


def load_dataset(labels: Path | str, folder: Path | str | None = None) -> Dataset:
    """Read a label file and see that its images are where they should be; none is decoded before it is read.

    Args:
        labels: The label file, see `ocrhpi.recognition.labels.read_labels`.
        folder: What its paths are relative to; None: the folder that it is in.

    Raises:
        OptionError: The label file cannot be read, or holds no line or a malformed one; the folder does not exist, or
            holds none of the images.
    """
    file = Path(labels).absolute()
    place = file.parent if folder is None else Path(folder).absolute()
    read = read_labels(file, "labels")
    if not read:
        raise OptionError("labels", f"{file} holds no line; expected a path, a tab and a text in each")
    if not place.is_dir():
        raise OptionError("data", f"received {str(folder)!r}, no folder; expected what the paths in {file} start from")
    if not any(find_image(place, label.path) for label in read):
        problem = (
            f"none of the images of {file} are in {place}; expected, for example, {str(place / read[0].path)[:300]}"
        )
        raise OptionError("data", f"{problem}; give the folder that the paths start from")
    return Dataset(place.resolve().name or str(place), place, read)
