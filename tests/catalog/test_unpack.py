from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from ocrhpi.catalog.responses import SourceFailed
from ocrhpi.catalog.sources import UnpackLimits, unpack_model

if TYPE_CHECKING:
    from pathlib import Path

WANTED = ("inference.yml", "inference.json", "inference.pdiparams")
TOP = "model_infer"


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return info


def write_tar(path: Path, files: dict[str, bytes], *strange: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as tar:
        tar.addfile(member(TOP, tarfile.DIRTYPE))
        for name, content in files.items():
            info = member(f"{TOP}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in strange:
            tar.addfile(info)
    return path


def test_only_the_wanted_files_are_taken(tmp_path: Path) -> None:
    files = {"inference.yml": b"a", "README.md": b"b", "deep/inference.json": b"c", "inference.json": b"d"}
    into = tmp_path / "into"
    into.mkdir()
    found = unpack_model(write_tar(tmp_path / "a.tar", files), into, WANTED)
    assert found == [into / "inference.yml", into / "inference.json"]
    assert [path.read_bytes() for path in found] == [b"a", b"d"]
    assert sorted(into.iterdir()) == sorted(found)


@pytest.mark.parametrize(
    ("strange", "reason"),
    [
        (member(f"{TOP}/../../evil"), "outside its directory"),
        (member("../evil"), "outside its directory"),
        (member("/etc/evil"), "outside its directory"),
        (member(f"{TOP}/inference.json", tarfile.SYMTYPE, "/etc/passwd"), "no regular file"),
        (member(f"{TOP}/inference.json", tarfile.LNKTYPE, f"{TOP}/inference.yml"), "no regular file"),
        (member(f"{TOP}/inference.json", tarfile.CHRTYPE), "no regular file"),
        (member(f"{TOP}/inference.json", tarfile.BLKTYPE), "no regular file"),
        (member(f"{TOP}/inference.json", tarfile.FIFOTYPE), "no regular file"),
        (member("other/inference.json"), "single top directory"),
        (member("inference.json"), "single top directory"),
        (member(f"{TOP}/inference.yml"), "twice"),
    ],
)
def test_a_harmful_member_spoils_the_archive(tmp_path: Path, strange: tarfile.TarInfo, reason: str) -> None:
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(SourceFailed, match=reason):
        unpack_model(write_tar(tmp_path / "a.tar", {"inference.yml": b"a"}, strange), into, WANTED)
    assert {path.name for path in tmp_path.rglob("*")} <= {"a.tar", "into", "inference.yml"}


def test_too_many_members(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", {f"{number}.txt": b"" for number in range(20)})
    with pytest.raises(SourceFailed, match="more than 10 members"):
        unpack_model(archive, tmp_path, WANTED, UnpackLimits(max_members=10))


def test_too_many_bytes_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", {"README.md": b"x" * 600, "inference.yml": b"x" * 600})
    with pytest.raises(SourceFailed, match="more than 1000 bytes"):
        unpack_model(archive, tmp_path, WANTED, UnpackLimits(max_total_bytes=1000))
    assert list(tmp_path.iterdir()) == [archive]


def test_a_huge_announced_size(tmp_path: Path) -> None:
    huge = member(f"{TOP}/inference.json")
    huge.size = 1 << 60
    archive = tmp_path / "a.tar"
    archive.write_bytes(huge.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(SourceFailed, match="holds more than"):
        unpack_model(archive, tmp_path, WANTED)


@pytest.mark.parametrize("keep", [0, 1800, 2500])
def test_a_truncated_archive(tmp_path: Path, keep: int) -> None:
    archive = write_tar(tmp_path / "a.tar", {"inference.yml": b"x" * 3000})
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(SourceFailed, match="not a whole tar file"):
        unpack_model(archive, tmp_path, WANTED)


@pytest.mark.parametrize("content", [b"<html>" * 500, b"\x1f\x8b" + bytes(1000)])
def test_no_archive_at_all(tmp_path: Path, content: bytes) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(content)
    with pytest.raises(SourceFailed, match="not a whole tar file"):
        unpack_model(archive, tmp_path, WANTED)
