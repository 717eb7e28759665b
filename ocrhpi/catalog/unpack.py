"""Unpack an untrusted model archive.

The whole archive is refused as soon as one member could do harm, even if that member is not wanted.
"""

from __future__ import annotations

import shutil
import tarfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ocrhpi.catalog.responses import SourceFailed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

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
