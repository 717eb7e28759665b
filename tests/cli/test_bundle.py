from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from ocrhpi.bundle.runner import runner_name
from ocrhpi.cli import main
from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.model import Model


@pytest.fixture(scope="module")
def tiny_onnx(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_onnx_model(tmp_path_factory.mktemp("models") / "tiny")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("word", [(), ("write",)])
def test_make_and_verify(
    tiny_onnx: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: tuple[str, ...]
) -> None:
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(tmp_path / "cache"))
    output = tmp_path / "rec.zip"
    made = run(
        "bundle", *word, tiny_onnx.path, "--target", "onnxruntime-cpu", "-o", output, "--lines", 3, "--dockerfile"
    )
    assert made.exit_code == 0, made.output
    assert made.stdout.splitlines()[:3] == [str(output), str(tmp_path / "rec.wheels"), str(tmp_path / "rec.Dockerfile")]
    assert "3 of 3 lines" in made.stdout
    verified = run("bundle", "verify", output, "--threads", 1)
    assert verified.exit_code == 0, verified.output
    assert "3 of 3 lines" in verified.stdout
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(output.read_bytes()[:-100])
    refused = run("bundle", "verify", damaged)
    assert refused.exit_code == 1
    assert "cut off" in refused.stderr


def test_a_bundle_that_cannot_be_tested_here_says_so(
    tiny_onnx: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(tmp_path / "cache"))
    made = run("bundle", tiny_onnx.path, "--target", "tensorrt", "-o", tmp_path / "rec", "--lines", 1)
    assert made.exit_code == 0, made.output
    seal = hashlib.sha256((tmp_path / "rec" / "manifest.json").read_bytes()).hexdigest()
    assert f"SHA-256 of the manifest {seal}" in made.stdout
    assert "texts      not tested here" in made.stdout


def test_help_says_both_ways() -> None:
    result = run("bundle", "--help")
    assert result.exit_code == 0
    assert all(word in result.stdout for word in ("write", "verify", "runner", "MODEL"))
    assert "--target" in run("bundle", "write", "--help").stdout


def test_bad_options(tiny_onnx: Model, tmp_path: Path) -> None:
    assert "Missing option '--target'" in run("bundle", tiny_onnx.path, "-o", tmp_path / "x").stderr
    result = run("bundle", tiny_onnx.path, "--target", "onnxruntime-cpu", "-o", tmp_path / "x", "--lines", 0)
    assert result.exit_code == 1
    assert "option 'lines'" in result.stderr
    result = run("bundle", tiny_onnx.path, "--target", "tensorrt", "-o", tmp_path / "x", "--offline-wheelhouse")
    assert "whole of ocrhpi" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_runner_alone(tmp_path: Path) -> None:
    result = run("bundle", "runner", "-o", tmp_path / "wheels")
    assert result.stdout.strip() == str(tmp_path / "wheels" / runner_name())
    assert (tmp_path / "wheels" / runner_name()).is_file()
