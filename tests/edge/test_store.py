"""What is refused: damaged, cut-off, changed and malicious bundles, each with its reason."""

from __future__ import annotations

import json
import stat
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi.edge import open_bundle
from ocrhpi.edge.bundle import Bundle
from ocrhpi.edge.config import is_plain_name
from ocrhpi.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def refusal(path: Path) -> str:
    with pytest.raises(BundleError) as raised:
        open_bundle(path)
    assert str(raised.value).startswith(str(path))
    return str(raised.value)


def test_what_is_no_bundle(tmp_path: Path) -> None:
    assert "not found" in refusal(tmp_path / "none.zip")
    assert "manifest.json: cannot be read" in refusal(tmp_path)
    (tmp_path / "text").write_text("text")
    assert "damaged, cut off or none" in refusal(tmp_path / "text")
    (tmp_path / "empty").touch()
    assert "damaged, cut off or none" in refusal(tmp_path / "empty")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_cut_off_zip_file(zip_bundle: Path, share: float) -> None:
    data = zip_bundle.read_bytes()
    zip_bundle.write_bytes(data[: int(share * len(data))])
    assert "cut off" in refusal(zip_bundle)


def test_every_changed_byte_is_found(zip_bundle: Path) -> None:
    data = zip_bundle.read_bytes()
    for place in range(0, len(data), max(1, len(data) // 150)):
        spoilt = bytearray(data)
        spoilt[place] ^= 0x10
        zip_bundle.write_bytes(spoilt)
        try:
            with Bundle(zip_bundle) as bundle:
                contents = {name: bundle._store.read(name) for name in bundle.manifest.files}
        except BundleError:
            continue
        with zipfile.ZipFile(zip_bundle) as archive:  # a byte that says nothing about content, such as a time stamp
            assert archive.testzip() is None
            assert set(archive.namelist()) == {"manifest.json", *contents}


@pytest.mark.parametrize("name", ["model.onnx", "vocabulary.json", "config.json", "calibration/000.png", "README.md"])
def test_changed_and_missing_files(folder_bundle: Path, name: str) -> None:
    file = folder_bundle / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert f"{name}: was changed or damaged: its SHA-256 is" in refusal(folder_bundle)
    file.write_bytes(data[:-1])
    assert f"{name}: is {len(data) - 1} bytes long, expected {len(data)}" in refusal(folder_bundle)
    file.unlink()
    assert f"{name}: cannot be read" in refusal(folder_bundle)
    file.mkdir()
    assert f"{name}: is no file" in refusal(folder_bundle)


def test_a_seal_finds_a_bundle_that_was_made_anew(made_zip: Path, change_manifest: Callable[..., Path]) -> None:
    with Bundle(made_zip) as bundle:
        seal = bundle.seal
    open_bundle(made_zip, sha256=seal.upper()).close()
    changed = change_manifest(lambda content: content["versions"].update(ocrhpi="9"))
    open_bundle(changed).close()
    with pytest.raises(BundleError, match="its SHA-256 is"):
        open_bundle(changed, sha256=seal)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda content: content.update(format="other"), "format: received 'other'"),
        (lambda content: content.update(version=99), "version: received 99, this runner reads 1"),
        (lambda content: content.update(version=True), "version: received True, expected int"),
        (lambda content: content.pop("files"), "files: received nothing, expected dict"),
        (lambda content: content["files"].pop("config.json"), "config.json: is not in the manifest"),
        (lambda content: content["files"].pop("model.onnx"), "model.onnx: is not in the manifest"),
        (lambda content: content["files"]["model.onnx"].update(sha256="0"), "has no SHA-256"),
        (lambda content: content["files"]["model.onnx"].update(size=1 << 40), "no bundle is"),
        (lambda content: content["files"].update({"../x": {"sha256": "0" * 64, "size": 0}}), "outside the bundle"),
    ],
)
def test_unfit_manifests(
    change_manifest: Callable[..., Path], edit: Callable[[dict[str, Any]], object], reason: str
) -> None:
    assert reason in refusal(change_manifest(edit))


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, '{"format": 3}', "\ud800"])
def test_manifests_that_are_none(folder_bundle: Path, content: str) -> None:
    (folder_bundle / "manifest.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    assert "manifest.json" in refusal(folder_bundle)


def test_a_manifest_that_is_too_long(folder_bundle: Path) -> None:
    (folder_bundle / "manifest.json").write_text(" " * (2 << 20))
    assert "longer than" in refusal(folder_bundle)


@pytest.mark.parametrize(
    "name",
    ["../evil.py", "/etc/passwd", "a/../../evil", "..\\evil", "C:\\evil", "C:evil", ".hidden", "a//b", "a/", "\u202e"],
)
def test_entries_that_would_leave_the_bundle(zip_bundle: Path, name: str) -> None:
    assert not is_plain_name(name)
    with zipfile.ZipFile(zip_bundle, "a") as archive:
        archive.writestr(name, "evil")
    assert "outside the bundle or of an unfit name" in refusal(zip_bundle)
    assert not (zip_bundle.parent / "evil.py").exists()


def test_other_unfit_entries(zip_bundle: Path) -> None:
    good = zip_bundle.read_bytes()
    with zipfile.ZipFile(zip_bundle, "a") as archive:
        archive.writestr("more.txt", "more")
    assert "more.txt: is not in the manifest" in refusal(zip_bundle)

    zip_bundle.write_bytes(good)
    with zipfile.ZipFile(zip_bundle, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", "{}")
    assert "twice" in refusal(zip_bundle)

    zip_bundle.write_bytes(good)
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(zip_bundle, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "no regular or an encrypted file" in refusal(zip_bundle)


def test_a_zip_bomb_is_not_unpacked(zip_bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(zip_bundle) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    contents["config.json"] = bytes(64 << 20)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    assert "config.json: is 67108864 bytes long, expected" in refusal(bomb)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("vocabulary.json", {}, "expected a list of strings"),
        ("vocabulary.json", [1], "expected a list of strings"),
        ("config.json", {}, "batching: received nothing"),
        ("calibration/lines.json", {}, "lines: received nothing"),
        ("calibration/lines.json", {"lines": [3]}, "expected a list of objects"),
    ],
)
def test_contents_that_do_not_fit(
    change_manifest: Callable[..., Path], folder_bundle: Path, file: str, content: object, reason: str
) -> None:
    import hashlib

    data = json.dumps(content).encode()
    (folder_bundle / file).write_bytes(data)
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    change_manifest(lambda manifest: manifest["files"].update({file: entry}))
    with pytest.raises(BundleError, match=reason), Bundle(folder_bundle) as bundle:
        bundle.calibration()
