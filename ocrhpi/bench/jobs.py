"""Which models a benchmark measures, and where their weights are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrhpi.bench.run import BenchJob
from ocrhpi.catalog import locate, official_model, official_models
from ocrhpi.errors import UnknownModel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ocrhpi.bench.rows import Weights

REFERENCE_MARK = "REFERENCE_WEIGHTS"
"""A file of this name in a model's directory says that its weights are random."""


def find_jobs(names: Sequence[str], models: Path | None = None) -> list[BenchJob]:
    """Find the weights of the models.

    Args:
        names: Official names, or names of directories in ``models``; ``all`` stands for all official models and all of
            those directories.
        models: A folder of model directories. Official weights in the cache are taken before reference weights in it.

    Raises:
        UnknownModel: A name that is neither.
    """
    folders = {path.name: path for path in sorted(models.iterdir()) if path.is_dir()} if models else {}
    wanted = [*official_models(), *(name for name in folders if name not in official_models())]
    chosen = wanted if "all" in names else list(dict.fromkeys(names))
    return [_job(name, folders.get(name)) for name in chosen]


def _job(name: str, folder: Path | None) -> BenchJob:
    is_reference = folder is not None and (folder / REFERENCE_MARK).is_file()
    try:
        official = official_model(name).name
    except UnknownModel:
        if folder is None:
            raise
        return BenchJob(name, folder, "reference" if is_reference else "own")
    cached = locate(official)
    if cached is not None and (folder is None or is_reference):
        return BenchJob(name, cached, "official")
    if folder is not None:
        weights: Weights = "reference" if is_reference else "own"
        return BenchJob(name, folder, weights)
    reason = (
        f"its weights are not here; 'ocrhpi models pull {name}' fetches them, --models names a folder that has them"
    )
    return BenchJob(name, None, "official", reason)
