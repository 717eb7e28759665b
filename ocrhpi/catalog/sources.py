"""Where official models come from, and in which order the places are asked.

Archives are not trusted: the whole archive is refused as soon as one member could do harm, even if that member is not
wanted.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from ocrhpi.catalog.manifest import CONFIG, MODEL_FILES, NETWORKS, PARAMETERS
from ocrhpi.catalog.responses import FileAbsent, SourceFailed
from ocrhpi.catalog.transfer import DeliveredFile
from ocrhpi.catalog.wheels import WheelIndex
from ocrhpi.errors import OptionError, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from ocrhpi.catalog.transfer import Downloader

_DEPTH_IN_TOP_DIRECTORY = 2


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """How much an archive may hold.

    Attributes:
        max_members: Members, wanted or not.
        max_total_bytes: Unpacked size of all members together.
    """

    max_members: int = 64
    max_total_bytes: int = 2 << 30


def unpack_model(archive: Path, into: Path, wanted: Collection[str], limits: UnpackLimits | None = None) -> list[Path]:
    """Unpack the ``wanted`` files of the tar file ``archive``, which lie in its one top directory.

    Args:
        archive: An uncompressed tar file.
        into: The existing directory to put them in, without their top directory.
        wanted: File names; other regular files are left out.
        limits: How much the archive may hold.

    Returns:
        The files, in the order of the archive.

    Raises:
        SourceFailed: The archive is damaged, or has a member that no model archive has.
    """
    files = []
    try:
        with tarfile.open(archive, "r:") as tar:
            for member, path in _checked(tar, limits or UnpackLimits()):
                if len(path.parts) == _DEPTH_IN_TOP_DIRECTORY and path.name in wanted:
                    files.append(_extract(tar, member, into / path.name))
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise SourceFailed(f"{archive.name} is not a whole tar file ({error})") from error
    return files


def _checked(tar: tarfile.TarFile, limits: UnpackLimits) -> Iterator[tuple[tarfile.TarInfo, PurePosixPath]]:
    """Yield every regular file with its path, checked."""
    seen: set[PurePosixPath] = set()
    total_bytes = 0
    for count, member in enumerate(tar, start=1):
        path = PurePosixPath(member.name)
        if count > limits.max_members:
            raise SourceFailed(f"the archive has more than {limits.max_members} members")
        if path.is_absolute() or ".." in path.parts:
            raise SourceFailed(f"the archive has a member outside its directory: {member.name!r}")
        if not (member.isreg() or member.isdir()):
            raise SourceFailed(f"the archive has a member that is no regular file: {member.name!r}")
        if member.isdir():
            continue
        total_bytes += member.size
        if total_bytes > limits.max_total_bytes:
            raise SourceFailed(f"the archive holds more than {limits.max_total_bytes} bytes")
        if path in seen:
            raise SourceFailed(f"the archive has a member twice: {member.name!r}")
        seen.add(path)
        if len(path.parts) < _DEPTH_IN_TOP_DIRECTORY or len({file.parts[0] for file in seen}) > 1:
            raise SourceFailed("the archive has not one single top directory")
        yield member, path


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> Path:
    source = tar.extractfile(member)
    if source is None:
        raise SourceFailed(f"{member.name!r} cannot be unpacked")
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file)
    if target.stat().st_size != member.size:
        raise SourceFailed(f"the archive ends within {member.name!r}")
    return target


SOURCES_VARIABLE = "OCRHPI_MODEL_SOURCES"
_HUGGING_FACE_VARIABLE = "HF_ENDPOINT"


class Source(Protocol):
    """A place that models come from."""

    @property
    def name(self) -> str:
        """The name by which users choose it."""

    def deliver(self, model: str, work: Path, downloader: Downloader) -> list[DeliveredFile]:
        """Fetch the official model ``model`` into the existing directory ``work``.

        Unfinished ``.part`` files of an earlier call may lie in ``work`` and are resumed.

        Raises:
            SourceFailed: The source does not answer, or does not have the model, or what it sent is wrong.
        """


@dataclass(frozen=True, slots=True)
class FileHost:
    """A model hub that serves each file of a model under its own URL.

    Attributes:
        name: The name by which users choose it.
        endpoint: The first part of every URL, without a final slash.
        path: The rest, with the fields ``{model}`` and ``{file}``.
        sha256_header: The HTTP header in which it announces the SHA-256 of large files, if it does.
    """

    name: str
    endpoint: str
    path: str
    sha256_header: str | None = None

    def deliver(self, model: str, work: Path, downloader: Downloader) -> list[DeliveredFile]:
        """Fetch ``model``; see `ocrhpi.catalog.sources.Source.deliver`."""
        config = self._get(model, CONFIG, work, downloader)
        return [
            config,
            self._network(model, work, downloader),
            self._get(model, PARAMETERS, work, downloader),
        ]

    def _network(self, model: str, work: Path, downloader: Downloader) -> DeliveredFile:
        newer, older = NETWORKS
        try:
            return self._get(model, newer, work, downloader)
        except FileAbsent:
            return self._get(model, older, work, downloader)

    def _get(self, model: str, file: str, work: Path, downloader: Downloader) -> DeliveredFile:
        url = self.endpoint + self.path.format(model=quote(model, safe=""), file=quote(file, safe=""))
        return downloader.download(url, work / file, sha256_header=self.sha256_header)


@dataclass(frozen=True, slots=True)
class ArchiveHost:
    """A file server with one tar file for each model.

    Attributes:
        name: The name by which users choose it.
        base_url: The directory of the tar files, without a final slash.
        limits: How much a tar file may hold.
    """

    name: str
    base_url: str
    limits: UnpackLimits = field(default_factory=UnpackLimits)

    def deliver(self, model: str, work: Path, downloader: Downloader) -> list[DeliveredFile]:
        """Fetch ``model``; see `ocrhpi.catalog.sources.Source.deliver`."""
        url = f"{self.base_url}/{quote(model, safe='')}_infer.tar"
        archive = downloader.download(url, work / f"{model}_infer.tar").path
        try:
            files = unpack_model(archive, work, MODEL_FILES, self.limits)
        finally:
            # A refused archive must not be met again by the next call.
            archive.unlink()
        return [DeliveredFile.of(file, url) for file in files]


def default_sources(environ: Mapping[str, str] | None = None) -> dict[str, Source]:
    """Return all sources, name -> source, in the default order.

    Args:
        environ: The environment, which may name another Hugging Face endpoint; None reads ``os.environ``.
    """
    environ = os.environ if environ is None else environ
    hugging_face = environ.get(_HUGGING_FACE_VARIABLE) or "https://huggingface.co"
    sources: tuple[Source, ...] = (
        FileHost(
            "huggingface",
            hugging_face.rstrip("/"),
            "/PaddlePaddle/{model}/resolve/main/{file}",
            sha256_header="X-Linked-Etag",
        ),
        FileHost("aistudio", "https://git.aistudio.baidu.com", "/api/v1/repos/PaddleX/{model}/media/{file}"),
        FileHost(
            "modelscope",
            "https://modelscope.cn",
            "/api/v1/models/PaddlePaddle/{model}/repo?Revision=master&FilePath={file}",
        ),
        ArchiveHost(
            "bos",
            "https://paddle-model-ecology.bj.bcebos.com/paddlex/official_inference_model/paddle3.0.0",
        ),
        WheelIndex(),
    )
    return {source.name: source for source in sources}


def choose_sources(
    asked: str | Sequence[str | Source] | None = None, environ: Mapping[str, str] | None = None
) -> tuple[Source, ...]:
    """Return the sources to ask, in order.

    Args:
        asked: Names, comma-separated or one by one, or sources; None takes the environment variable
            ``OCRHPI_MODEL_SOURCES``, and without that all sources.
        environ: The environment; None reads ``os.environ``.

    Raises:
        OptionError: A name is unknown, or there is none.
    """
    environ = os.environ if environ is None else environ
    option = "sources"
    if asked is None:
        option, asked = SOURCES_VARIABLE, environ.get(SOURCES_VARIABLE) or None
    known = default_sources(environ)
    if asked is None:
        return tuple(known.values())
    entries = _names(asked) if isinstance(asked, str) else asked
    if not entries:
        raise OptionError(option, f"received no source, expected one or more of {', '.join(known)}")
    return tuple(_known_source(entry, known, option) if isinstance(entry, str) else entry for entry in entries)


def _names(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]


def _known_source(name: str, known: Mapping[str, Source], option: str) -> Source:
    if name not in known:
        raise OptionError(option, f"received {name!r}, expected names out of {', '.join(known)}.{nearest(name, known)}")
    return known[name]
