"""Step 1: what is to be read. A folder of images, a manifest or Parquet files, told apart by what is there."""

from __future__ import annotations

from ocrhpi.batch.sources.base import Source
from ocrhpi.batch.sources.find import find_source

__all__ = ["Source", "find_source"]
