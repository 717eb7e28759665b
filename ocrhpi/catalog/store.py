"""The cache of fetched models: one directory for each, complete or not there at all.

Nothing here touches the network as long as the model is in the cache.
"""

from __future__ import annotations

import errno
from contextlib import closing
from typing import TYPE_CHECKING

from ocrhpi.cache import CACHE_VARIABLE, cache_root, fall_back
from ocrhpi.catalog.manifest import MANIFEST_FILE, read_complete
from ocrhpi.catalog.models import official_model
from ocrhpi.errors import DownloadError, ModelFormatError, ModelNotFound, OcrhpiError
from ocrhpi.files import locked, sha256_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ocrhpi.catalog.sources import Source
    from ocrhpi.catalog.transfer import Limits

_FOLDER = "models"
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def models_dir(cache_dir: Path | str | None = None) -> Path:
    """Return the directory of all fetched models: ``models`` in the cache directory.

    Args:
        cache_dir: As in `ocrhpi.cache.cache_root`.
    """
    return cache_root(cache_dir) / _FOLDER


def locate(name: str, *, cache_dir: Path | str | None = None) -> Path | None:
    """Return the directory of the official model ``name`` if it is in the cache, complete; else None.

    Args:
        name: The official name.
        cache_dir: As in `models_dir`.

    Raises:
        UnknownModel: There is no official model of that name.
    """
    directory = models_dir(cache_dir) / official_model(name).name
    return directory if read_complete(directory, name) else None


def fetch(
    name: str,
    *,
    sources: str | Sequence[str | Source] | None = None,
    cache_dir: Path | str | None = None,
    quiet: bool = False,
    limits: Limits | None = None,
) -> Path:
    """Return the directory of the official model ``name``, which is downloaded if it is not in the cache.

    Two callers at a time download once: the second waits for the first. Where the cache must not be written to, the
    model goes into a temporary folder, and a warning says so.

    Args:
        name: The official name.
        sources: Which sources to ask, in order; see `ocrhpi.catalog.sources.choose_sources`.
        cache_dir: As in `models_dir`.
        quiet: Show no progress; otherwise it is shown on stderr if that is a terminal.
        limits: How long and how much a download may take.

    Raises:
        UnknownModel: There is no official model of that name.
        OptionError: A source is unknown.
        DownloadError: No source gave the model, or the cache cannot be written.
    """
    from ocrhpi.catalog.sources import choose_sources  # noqa: PLC0415 - locate() needs no sources

    chosen = choose_sources(sources)
    found = locate(name, cache_dir=cache_dir)
    if found:
        return found
    target = models_dir(cache_dir) / name
    try:
        try:
            _fetch_locked(name, target, chosen, quiet=quiet, limits=limits)
        except OSError as error:
            if error.errno not in _FORBIDDEN:
                raise
            spare = fall_back(cache_root(cache_dir), error.strerror or str(error))
            target = spare / _FOLDER / name
            _fetch_locked(name, target, chosen, quiet=quiet, limits=limits)
    except OSError as error:
        if isinstance(error, OcrhpiError):
            raise
        reason = f"{error.filename or target}: {error.strerror or error}"
        raise DownloadError(
            name, {"cache": reason}, f"Another cache is chosen with cache_dir=... or {CACHE_VARIABLE}."
        ) from error
    return target


def _fetch_locked(name: str, target: Path, sources: Sequence[Source], *, quiet: bool, limits: Limits | None) -> None:
    # requests and tqdm cost more to import than all the rest, and a model in the cache needs none.
    from ocrhpi.catalog.install import install  # noqa: PLC0415
    from ocrhpi.catalog.transfer import Downloader  # noqa: PLC0415

    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.with_name(f".{name}.lock")):
        if read_complete(target, name):
            return
        with closing(Downloader(limits, progress=False if quiet else None)) as downloader:
            install(name, target, sources, downloader)


def verify(name: str, *, cache_dir: Path | str | None = None) -> Path:
    """Read all files of the fetched model ``name`` and compare them with its manifest.

    Args:
        name: The official name.
        cache_dir: As in `models_dir`.

    Returns:
        The directory of the model, whose files are as they were fetched.

    Raises:
        UnknownModel: There is no official model of that name.
        ModelNotFound: It is not in the cache, or not complete.
        ModelFormatError: A file has changed since it was fetched.
    """
    directory = models_dir(cache_dir) / official_model(name).name
    manifest = read_complete(directory, name)
    if manifest is None:
        raise ModelNotFound(directory, f"a complete model with its {MANIFEST_FILE}; fetch it anew")
    for file, entry in manifest.files.items():
        digest = sha256_of(directory / file)
        if digest != entry.sha256:
            raise ModelFormatError(
                directory / file,
                "SHA-256",
                f"is {digest}, but {entry.sha256} was fetched; delete the directory and fetch the model anew",
            )
    return directory
