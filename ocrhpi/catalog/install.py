"""Ask the sources one after the other and put the first whole model in its place, atomically."""

from __future__ import annotations

import logging
import shutil
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ocrhpi.catalog.manifest import Manifest, ManifestEntry, missing_from
from ocrhpi.catalog.responses import PART_SUFFIX, SourceFailed
from ocrhpi.catalog.sources import SOURCES_VARIABLE, default_sources
from ocrhpi.errors import DownloadError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ocrhpi.catalog.sources import Source
    from ocrhpi.catalog.transfer import DeliveredFile, Downloader

_log = logging.getLogger(__name__)


def hint() -> str:
    """Return what a user can do when no source gave the model."""
    return (
        "By hand: put inference.yml with inference.json (or inference.pdmodel) and inference.pdiparams, or "
        "with inference.onnx, into a directory and pass it as model_dir. Sources are chosen with sources=... "
        f"or with the environment variable {SOURCES_VARIABLE} (comma-separated, out of "
        f"{', '.join(default_sources())})."
    )


def install(model: str, target: Path, sources: Sequence[Source], downloader: Downloader) -> None:
    """Fetch ``model`` from the first of ``sources`` that gives it, and make it the directory ``target``.

    Everything is fetched into a directory beside ``target``, where unfinished downloads stay for the next
    call. The caller holds the lock of the model.

    Raises:
        DownloadError: No source gave the model.
    """
    staging = target.with_name(f".staging-{model}")
    reasons: dict[str, str] = {}
    for source in sources:
        work = staging / source.name
        work.mkdir(parents=True, exist_ok=True)
        outcome = _ask(source, model, work, downloader)
        if not isinstance(outcome, SourceFailed):
            _place(outcome, Manifest(model, source.name, _now(), _entries(outcome)), staging, target)
            return
        reasons[source.name] = outcome.reason
        _log.info("%s: no model from %s: %s", model, source.name, outcome.reason)
        if not any(work.glob(f"*{PART_SUFFIX}")):
            shutil.rmtree(work)
    if not any(staging.iterdir()):
        staging.rmdir()
    raise DownloadError(model, reasons, hint())


def _ask(source: Source, model: str, work: Path, downloader: Downloader) -> list[DeliveredFile] | SourceFailed:
    try:
        return _deliver(source, model, work, downloader)
    except SourceFailed as failure:
        return failure


def _deliver(source: Source, model: str, work: Path, downloader: Downloader) -> list[DeliveredFile]:
    files = source.deliver(model, work, downloader)
    missing = missing_from([file.path.name for file in files])
    if missing:
        raise SourceFailed(f"it sent no {missing}")
    return files


def _entries(files: Sequence[DeliveredFile]) -> dict[str, ManifestEntry]:
    return {
        file.path.name: ManifestEntry(file.size_bytes, file.sha256, file.sha256_known, file.origin) for file in files
    }


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _place(files: Sequence[DeliveredFile], manifest: Manifest, staging: Path, target: Path) -> None:
    ready, old = staging / ".ready", staging / ".old"
    for leftover in (ready, old):
        shutil.rmtree(leftover, ignore_errors=True)
    ready.mkdir()
    for file in files:
        file.path.replace(ready / file.path.name)
    manifest.write(ready)
    if target.exists():
        # No system replaces a directory that is not empty, so what lies there, incomplete, makes way first.
        target.replace(old)
    ready.replace(target)
    shutil.rmtree(staging, ignore_errors=True)
