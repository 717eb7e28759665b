"""Which kind of source a path is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrhpi.batch.sources.images import FolderSource, ManifestSource, files_below
from ocrhpi.batch.sources.parquet import PARQUET_SUFFIXES, ParquetSource, is_parquet
from ocrhpi.errors import OptionError
from ocrhpi.recognition.inputs import SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.batch.sources.base import Source


def find_source(path: Path, *, image_column: str = "image", root: Path | None = None) -> Source:
    """Tell what is to be read.

    Args:
        path: A folder of images or of Parquet files, at any depth; a Parquet file; or a manifest.
        image_column: Column of the images in Parquet.
        root: What the paths of a manifest start from; None: its folder.

    Raises:
        OptionError: It is neither, or both; or it is there, but not of the form expected.
        MissingExtra: Parquet, but pyarrow is not installed.
    """
    path = path.absolute()
    if not path.is_dir():
        is_table = path.suffix.lower() in PARQUET_SUFFIXES or is_parquet(path)
        return ParquetSource(path, image_column) if is_table else ManifestSource(path, root)
    tables = files_below(path, PARQUET_SUFFIXES)
    images = files_below(path, SUFFIXES)
    if tables and images:
        problem = f"{path} holds images, such as {images[0]}, and Parquet files, such as {tables[0]}"
        raise OptionError("input", f"{problem}; expected one kind, so give a folder below it or a manifest")
    if not tables and not images:
        problem = f"no file in {path}, at any depth, is Parquet or ends in one of {' '.join(SUFFIXES)}"
        raise OptionError("input", problem)
    return ParquetSource(path, image_column) if tables else FolderSource(path)
