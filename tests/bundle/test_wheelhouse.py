"""Wheels for other platforms, from an index in a folder: no network."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from ocrhpi import __version__
from ocrhpi.bundle.artifacts import Beside, collect_wheels
from ocrhpi.bundle.runner import runner_name
from ocrhpi.bundle.targets import TARGETS
from ocrhpi.errors import BackendUnavailable, DownloadError, OptionError

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.model import Model

ARM = TARGETS["onnxruntime-arm64"].platforms
TAG = "cp312-cp312-manylinux_2_28_aarch64"


def write_wheel(directory: Path, name: str, version: str, tag: str) -> None:
    information = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(directory / f"{name}-{version}-{tag}.whl", "w") as archive:
        archive.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{information}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        archive.writestr(f"{information}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip takes for the package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, version in (("numpy", "2.1.0"), ("pillow", "11.0.0"), ("onnxruntime", "1.20.0")):
        write_wheel(folder, name, version, TAG)
        write_wheel(folder, name, "99.0", "cp312-cp312-manylinux_2_28_x86_64")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.mark.usefixtures("index")
def test_wheels_of_the_device_are_taken_not_of_this_machine(tmp_path: Path) -> None:
    wheels = collect_wheels(tmp_path / "wheels", ["onnxruntime"], ARM, "3.12")
    assert {wheel.name for wheel in wheels} == {
        runner_name(),
        *(f"{package}-{TAG}.whl" for package in ("numpy-2.1.0", "pillow-11.0.0", "onnxruntime-1.20.0")),
    }
    pins = (tmp_path / "wheels" / "requirements.txt").read_text().splitlines()
    assert any(pin.startswith(f"ocrhpi-edge=={__version__} --hash=sha256:") for pin in pins)
    assert len(pins) == 4


@pytest.mark.usefixtures("index")
def test_a_device_installs_from_them_without_an_index(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    collect_wheels(wheels, ["onnxruntime"], ARM, "3.12")
    command: list[str | Path] = [
        *(sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-index", "--find-links", wheels),
        *("--require-hashes", "--only-binary=:all:", "--target", tmp_path / "site", "--no-compile"),
        *("--python-version", "3.12", "--platform", "manylinux_2_28_aarch64", "-r", wheels / "requirements.txt"),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "site" / "ocrhpi" / "edge").is_dir()


@pytest.mark.usefixtures("index")
def test_a_wheel_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"No matching distribution.*openvino.*for Python 3\.12"):
        collect_wheels(tmp_path / "wheels", ["openvino"], ARM, "3.12")


def test_an_interpreter_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    scripts = "Scripts" if sys.platform == "win32" else "bin"
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / scripts / "python"))
    with pytest.raises(BackendUnavailable, match="ensurepip"):
        collect_wheels(tmp_path / "wheels", ["onnxruntime"], ARM, "3.12")


@pytest.mark.usefixtures("index")
def test_beside_a_bundle(tiny_onnx: Model, tmp_path: Path) -> None:
    target = TARGETS["onnxruntime-arm64"]
    beside = Beside(tmp_path / "rec.zip", "3.12", target.platforms, recipe=True)
    assert beside.write(tiny_onnx, target) == [tmp_path / "rec.wheels", tmp_path / "rec.Dockerfile"]
    recipe = (tmp_path / "rec.Dockerfile").read_text()
    assert "FROM python:3.12-slim" in recipe
    assert "--no-index" in recipe
    assert "source=rec.wheels" in recipe
    assert "'ocrhpi-edge[onnxruntime]'" in recipe
    assert "COPY rec.zip /bundle.zip" in recipe
    assert "openvino" not in recipe
    with pytest.raises(OptionError, match="in the way"):
        beside.check(target)


def test_a_recipe_alone_brings_the_runner(tiny_onnx: Model, tmp_path: Path) -> None:
    beside = Beside(tmp_path / "rec", "3.11", recipe=True)
    beside.write(tiny_onnx, TARGETS["openvino-cpu"])
    assert [path.name for path in (tmp_path / "rec.wheels").iterdir()] == [runner_name()]
    recipe = (tmp_path / "rec.Dockerfile").read_text()
    assert "--no-index" not in recipe
    assert "libopenvino_intel_gpu_plugin.so" in recipe
    assert "COPY rec /bundle\n" in recipe


def test_nothing_is_written_that_was_not_asked_for(tiny_onnx: Model, tmp_path: Path) -> None:
    assert Beside(tmp_path / "rec", "3.11").write(tiny_onnx, TARGETS["tensorrt"]) == []
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="whole of ocrhpi"):
        Beside(tmp_path / "rec", "3.11", recipe=True).check(TARGETS["tensorrt"])
    with pytest.raises(OptionError, match=r"'3\.x'"):
        Beside(tmp_path / "rec", "3.x", recipe=True).check(TARGETS["openvino-cpu"])
