from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from ocrhpi import __version__
from ocrhpi.bundle import write as write_module
from ocrhpi.bundle.targets import TARGETS, BundleOptions
from ocrhpi.bundle.write import calibration_files, write_bundle
from ocrhpi.edge.bundle import Bundle
from ocrhpi.edge.selftest import verify_bundle
from ocrhpi.errors import BackendMismatch, ExportError, OptionError
from ocrhpi.options import parse_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ocrhpi.model import Model

FILES = {
    *("manifest.json", "config.json", "vocabulary.json", "model.onnx", "requirements.txt", "README.md", "LICENCES.md"),
    *("licences/Apache-2.0.txt", f"runner/ocrhpi_edge-{__version__}-py3-none-any.whl", "calibration/lines.json"),
    *(f"calibration/00{number}.png" for number in range(4)),
}


def test_a_bundle_holds_what_the_issue_lists(make_bundle: Callable[..., Path]) -> None:
    with zipfile.ZipFile(make_bundle()) as archive:
        assert archive.namelist()[0] == "manifest.json"
        assert set(archive.namelist()) == FILES
        assert archive.getinfo("model.onnx").compress_type == zipfile.ZIP_STORED
        manifest = json.loads(archive.read("manifest.json"))
        notes = archive.read("LICENCES.md").decode()
        needs = archive.read("requirements.txt").decode().split()
    assert set(manifest["files"]) == FILES - {"manifest.json"}
    assert {"ocrhpi", "onnxruntime", "numpy", "python", "exporter"} == set(manifest["versions"])
    assert "tiny_rec is no official model" in notes
    assert "onnxruntime | MIT" in notes
    assert needs == ["numpy>=1.24", "pillow>=10.1", "onnxruntime>=1.17"]


def test_the_same_input_makes_the_same_bytes(make_bundle: Callable[..., Path]) -> None:
    assert make_bundle().read_bytes() == make_bundle().read_bytes()


def test_a_folder_holds_the_same_as_a_zip_file(make_bundle: Callable[..., Path]) -> None:
    folder = make_bundle("rec")
    with zipfile.ZipFile(make_bundle()) as archive:
        for name in archive.namelist():
            assert (folder / name).read_bytes() == archive.read(name)


def test_calibration_lines_are_the_shipped_ones_without_loss(make_bundle: Callable[..., Path]) -> None:
    from ocrhpi.edge.images import read_image
    from ocrhpi.tuning.calibration import load_calibration

    lines = load_calibration(limit=4).lines
    with Bundle(make_bundle()) as bundle:
        entries = bundle.calibration()
        for line, entry in zip(lines, entries, strict=True):
            np.testing.assert_array_equal(read_image(bundle.image(entry)), line.pixels)
            assert entry.written == line.text


def test_lines_of_the_user(tiny_onnx: Model, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for number in range(25):
        Image.fromarray(np.full((48, 100 + number, 3), 200, np.uint8)).save(own / f"{number:02}.png")
    asked = BundleOptions(target="onnxruntime-cpu", lines=22)
    written = write_bundle(tiny_onnx, asked, tmp_path / "rec", calibration_dir=own, cache_dir=tmp_path / "cache")
    with Bundle(written.path) as bundle:
        entries = bundle.calibration()
    assert len(entries) == 22
    assert {entry.written for entry in entries} == {None}
    assert "the user's own lines" in (written.path / "LICENCES.md").read_text()


def test_what_lies_in_the_way(tiny_onnx: Model, tmp_path: Path) -> None:
    asked = BundleOptions(target="onnxruntime-cpu", lines=1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "folder.zip").mkdir()
    for name, reason in (("full", "not empty"), ("folder.zip", "is a folder"), ("full/file", "is a file")):
        with pytest.raises(OptionError, match=reason):
            write_bundle(tiny_onnx, asked, tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {"full", "folder.zip"}


def test_nothing_is_left_of_a_bundle_that_its_runner_reads_otherwise(
    tiny_onnx: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(lines: Any, texts: Any) -> dict[str, bytes]:
        files = calibration_files(lines, texts)
        content = json.loads(files["calibration/lines.json"])
        content["lines"][0]["expected"] = "other"
        return {**files, "calibration/lines.json": json.dumps(content).encode()}

    monkeypatch.setattr(write_module, "calibration_files", spoilt)
    asked = BundleOptions(target="onnxruntime-cpu", lines=2)
    for name in ("rec", "rec.zip"):
        with pytest.raises(ExportError, match="reads 1 of 2 lines otherwise than ocrhpi"):
            write_bundle(tiny_onnx, asked, tmp_path / "out" / name, cache_dir=tmp_path / "cache")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_bundle_of_a_stretched_model_stretches(tiny_onnx: Model, tmp_path: Path) -> None:
    written = write_bundle(tiny_onnx.stretched(320), BundleOptions(target="onnxruntime-cpu"), tmp_path / "rec")
    assert written.verification is not None
    assert written.verification.passed
    with Bundle(written.path) as bundle:
        assert bundle.config.spec.stretch_width == 320


@pytest.mark.parametrize("target", TARGETS)
def test_every_target(make_bundle: Callable[..., Path], target: str) -> None:
    with Bundle(make_bundle(target=target)) as bundle:
        assert bundle.manifest.target == target
        assert bundle.config.engine == TARGETS[target].engine
        small = TARGETS[target].small
        assert bundle.config.small == small
        assert any(name.startswith("runner/") for name in bundle.manifest.files) == small


@pytest.mark.parametrize(("target", "precision"), [("onnxruntime-cpu", "fp16"), ("openvino-cpu", "bf16")])
def test_lower_precision(make_bundle: Callable[..., Path], target: str, precision: str) -> None:
    try:
        path = make_bundle(target=target, precision=precision)
    except BackendMismatch as error:
        pytest.skip(str(error))
    found = verify_bundle(path, rounds=1)
    assert found.passed
    assert found.precision == precision


def test_options_are_checked(tiny_onnx: Model, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Did you mean 'onnxruntime-arm64'"):
        BundleOptions(target="onnxruntime-arm").candidate(tiny_onnx)
    with pytest.raises(OptionError, match="batch_size"):
        parse_options(BundleOptions, {"target": "openvino-cpu", "batch_size": 0})
    with pytest.raises(OptionError, match="precision"):
        write_bundle(tiny_onnx, BundleOptions(target="openvino-cpu", precision="int3"), tmp_path / "rec")
    assert list(tmp_path.iterdir()) == []
