"""Images that lie in files: all below a folder, or those that a manifest names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from ocrhpi.batch.shards import ImageShard, Task, chunks, rows_of_a_part
from ocrhpi.batch.sources.base import Source
from ocrhpi.errors import OptionError, UnreadableInput
from ocrhpi.recognition.inputs import SUFFIXES, is_url
from ocrhpi.recognition.labels import find_image, read_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from ocrhpi.batch.shards import Row, Shard


class _ImageSource(Source):
    """Images in files; what they are relative to, and what else the results say of them, is for subclasses to know."""

    root: Path

    def rows(self) -> Iterable[Row]:
        """Return all images."""
        raise NotImplementedError

    def new_shards(self, known: Sequence[Shard], rows: int | None, workers: int) -> list[Shard]:
        planned = {row[0] for shard in known if isinstance(shard, ImageShard) for row in shard.images}
        new = [row for row in self.rows() if row[0] not in planned]
        pieces = chunks(new, rows or rows_of_a_part(len(new), workers))
        return [ImageShard(number=number, images=images) for number, images in enumerate(pieces, start=len(known))]

    def tasks(self, shards: Sequence[Shard]) -> Iterator[Task]:
        for shard in shards:
            assert isinstance(shard, ImageShard)  # noqa: S101 - the plan is of this kind
            yield Task(shard, [self._located(path) for _, path, _ in shard.images], self._columns(shard.images))

    def _located(self, path: str) -> str:
        raise NotImplementedError

    def _columns(self, images: Sequence[Row]) -> dict[str, list[Any]]:
        return {"rec_id": [row[0] for row in images], "path": [row[1] for row in images]}


class FolderSource(_ImageSource):
    """All images below a folder, sorted by path; hidden ones are left out, and links to folders are not followed.

    An image's identity is its path relative to the folder, with slashes.
    """

    kind: ClassVar[str] = "folder"

    def __init__(self, folder: Path) -> None:
        self.path = self.root = folder

    def rows(self) -> Iterable[Row]:  # noqa: D102 - see the class
        return [(path, path, None) for path in files_below(self.path, SUFFIXES)]

    def _located(self, path: str) -> str:
        return str(self.root / path)


class ManifestSource(_ImageSource):
    """The images that a text file names: one path a line, or PaddleOCR's label file, path and text with a tab between.

    An image's identity is its path as the manifest spells it, from its second occurrence on with ``#2``, ``#3`` and so
    on.

    Args:
        file: The manifest, in UTF-8.
        root: What its paths start from; None: the folder that it is in.

    Raises:
        OptionError: It cannot be read, or a line of it is malformed.
    """

    kind: ClassVar[str] = "manifest"

    def __init__(self, file: Path, root: Path | None = None) -> None:
        self.path, self.root = file, root or file.parent
        content = _text(file)
        self._labelled = "\t" in content
        if self._labelled:
            self._named = [(label.path, label.text) for label in read_labels(file, "input")]
        else:
            paths = (line.strip() for line in content.split("\n"))
            self._named = [(path, "") for path in paths if path]

    def rows(self) -> Iterator[Row]:  # noqa: D102 - see the class
        used: set[str] = set()
        times: dict[str, int] = {}
        for path, label in self._named:
            times[path] = times.get(path, 0) + 1
            identity = path if times[path] == 1 else f"{path}#{times[path]}"
            while identity in used:  # a file may have such a name
                times[path] += 1
                identity = f"{path}#{times[path]}"
            used.add(identity)
            yield identity, path, label if self._labelled else None

    def _located(self, path: str) -> str:
        return path if is_url(path) else str(find_image(self.root, path) or self.root / path)

    def _columns(self, images: Sequence[Row]) -> dict[str, list[Any]]:
        columns = super()._columns(images)
        return {**columns, "label": [row[2] for row in images]} if self._labelled else columns


def files_below(folder: Path, suffixes: Sequence[str]) -> list[str]:
    """Return the files of a folder, at any depth, that end in one of ``suffixes``: relative, with slashes, sorted.

    Raises:
        UnreadableInput: A folder cannot be listed.
    """
    faults: list[OSError] = []
    found = []
    for place, subfolders, names in os.walk(folder, onerror=faults.append):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        fitting = (name for name in names if name.lower().endswith(tuple(suffixes)) and not name.startswith("."))
        found += [os.path.relpath(os.path.join(place, name), folder).replace(os.sep, "/") for name in fitting]  # noqa: PTH118
    if faults:
        reason = f"the directory cannot be listed: {(faults[0].strerror or str(faults[0])).lower()}"
        raise UnreadableInput(str(faults[0].filename), reason)
    return sorted(found)


def _text(file: Path) -> str:
    expected = "expected a folder of images, Parquet, or a text file in UTF-8 with one path a line"
    try:
        content = file.read_text("utf-8-sig")
    except OSError as error:
        raise OptionError("input", f"{file} cannot be read ({error.strerror}); {expected}") from error
    except UnicodeDecodeError as error:
        raise OptionError("input", f"{file} is no text; {expected}") from error
    if "\0" in content:
        raise OptionError("input", f"{file} is no text; {expected}")
    return content
