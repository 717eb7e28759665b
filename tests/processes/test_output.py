"""What commands print, in real processes: in every encoding of stdout, and into a pipe that is closed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from pathlib import Path

NAME = "é模型😀.png"
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
ENVIRONMENTS = {
    "ascii": ({"PYTHONIOENCODING": "ascii"}, "ascii"),
    "latin-1": ({"PYTHONIOENCODING": "latin-1"}, "latin-1"),
    "cp1252": ({"PYTHONIOENCODING": "cp1252"}, "cp1252"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and an image with a name of many scripts."""
    folder = tmp_path_factory.mktemp("lines")
    tiny_onnx_model(folder / "model")
    ok, png = cv2.imencode(".png", np.full((48, 100, 3), 200, np.uint8))
    assert ok
    (folder / NAME).write_bytes(png.tobytes())
    return folder


def command(*arguments: str) -> list[str]:
    given = ["--model_dir", "model", "--engine", "onnxruntime", "--device", "cpu", "--cpu_threads", "1"]
    return [sys.executable, "-m", "ocrhpi", "text_recognition", *given, *arguments]


def run(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*arguments), cwd=folder, env={**os.environ, **environment}, capture_output=True, check=False
    )


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_results_are_printed_in_every_encoding(folder: Path, name: str) -> None:
    environment, encoding = ENVIRONMENTS[name]
    given = ("-i", ".", "-i", "没有.png", "--on_error", "skip")
    done = run(folder, environment, *given)
    assert done.returncode == 0, done.stderr
    read, missing = done.stdout.decode(encoding).splitlines()
    assert "\\u6a21\\u578b\\U0001f600.png: " in read
    assert missing.startswith("\\u6ca1\\u6709.png: error: ")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_json_is_json_in_every_encoding(folder: Path, name: str) -> None:
    environment, encoding = ENVIRONMENTS[name]
    done = run(folder, environment, "-i", NAME, "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.decode(encoding).splitlines()
    assert json.loads(line)["input_path"] == NAME


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locale")
def test_in_the_c_locale_names_are_printed_as_they_are(folder: Path) -> None:
    done = run(folder, C_LOCALE, "-i", NAME, "-i", "没有.png", "--on_error", "skip")
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
    read, missing = done.stdout.splitlines()
    assert read.startswith(f"{NAME}: ".encode())
    assert missing.startswith("没有.png: error: ".encode())
    line = json.loads(run(folder, C_LOCALE, "-i", NAME, "--json").stdout)
    assert os.fsencode(line["input_path"]) == NAME.encode(), "bytes that Python held as lone surrogates"


@pytest.mark.parametrize("environment", [ENVIRONMENTS["latin-1"][0], C_LOCALE], ids=["latin-1", "C"])
def test_an_error_is_one_line_in_every_encoding(folder: Path, environment: dict[str, str]) -> None:
    done = run(folder, environment, "-i", "没有.png")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"Error: ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_a_closed_pipe_ends_it_quietly(folder: Path, as_json: tuple[str, ...]) -> None:
    inputs = [argument for _ in range(200) for argument in ("-i", NAME)]
    with subprocess.Popen(
        command(*as_json, *inputs), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert NAME[1:3] in process.stdout.readline().decode()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no disk here that is always full")  # noqa: PTH110
def test_a_full_disk_is_an_error_of_one_line() -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "ocrhpi", "models", "list"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith(b"Error: stdout could not be written: ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("given", [["--help"], ["models", "list"], ["backends"]])
def test_a_pipe_that_is_closed_from_the_start(given: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ocrhpi", *given], stdout=writing, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")
