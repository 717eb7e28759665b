"""What crashes, hangs or fails in a process of its own, and the line that tells of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from types import ModuleType
from typing import TYPE_CHECKING, Any

import onnx
import pytest

from ocrhpi.errors import ExportError
from ocrhpi.export import verification
from ocrhpi.export.exporter import GraphForm, export_model
from ocrhpi.export.isolated import ApartFailed, run_apart, telling_line
from ocrhpi.model import load_model
from tests.conftest import needs_paddle2onnx
from tests.tiny_model import VOCABULARY, write_config
from tests.tiny_onnx import tiny_onnx_model, write_tiny_onnx

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.model import Model

HALF = GraphForm(precision="fp16")
SEGFAULT = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


def write_tiny_crnn(directory: Path) -> Path:
    """Write a convolution, a bidirectional LSTM and a linear layer, with seeded random weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import paddle
        from paddle import nn

        class Crnn(nn.Layer):  # type: ignore[misc,unused-ignore]
            def __init__(self) -> None:
                super().__init__()
                self.convolution = nn.Conv2D(3, 8, kernel_size=(48, 8), stride=(48, 8))
                self.lstm = nn.LSTM(8, 8, direction="bidirectional")
                self.classes = nn.Linear(16, len(VOCABULARY) + 2)

            def forward(self, x: Any) -> Any:
                columns = nn.functional.relu(self.convolution(x)).squeeze(2).transpose([0, 2, 1])
                return nn.functional.softmax(self.classes(self.lstm(columns)[0]), axis=2)

        paddle.seed(0)
        network = Crnn()
        network.eval()
        spec = paddle.static.InputSpec(shape=[-1, 3, 48, -1], dtype="float32", name="x")
        directory.mkdir(parents=True, exist_ok=True)
        paddle.jit.save(network, str(directory / "inference"), input_spec=[spec])
    write_config(directory)
    return directory


def files_of(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.rglob("*") if file.is_file() and file.name != ".lock")


@needs_paddle2onnx
def test_a_graph_that_crashes_onnx_runtime_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    model = write_tiny_crnn(tmp_path / "crnn")
    command = [sys.executable, "-m", "ocrhpi", "export", str(model), "-o", str(tmp_path / "out")]
    environment = {**os.environ, "OCRHPI_CACHE_DIR": str(tmp_path / "cache")}
    run = subprocess.run(
        [*command, "--precision", "fp16"], capture_output=True, text=True, check=False, env=environment
    )
    if run.returncode == 0:
        pytest.skip("this ONNX Runtime runs LSTM beside FP16 on this CPU")
    assert run.returncode == 1
    told = (
        "its process ended with signal 11 (SIGSEGV): ONNX Runtime cannot run this graph in FP16; keep --precision fp32."
    )
    assert run.stderr == f"Error: {model}: verification: {told}\n"
    assert run.stdout == ""
    assert not (tmp_path / "out").exists()
    assert files_of(tmp_path / "cache") == ["full.onnx"], "the graph in FP32, which is verified"
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (run.returncode, run.stderr) == (0, "")
    assert files_of(tmp_path / "out") == ["inference.onnx", "inference.yml"]


@pytest.fixture
def tiny(tmp_path: Path) -> Model:
    return tiny_onnx_model(tmp_path / "tiny")


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        (SEGFAULT, r"its process ended with signal 11 \(SIGSEGV\): ONNX Runtime cannot run this graph in FP16; keep"),
        (
            "import os; os.write(2, b'what():  bad\\n'); os.abort()",
            r"signal 6 \(SIGABRT\): ONNX Runtime .* keep --precision fp32 \(its last words: what\(\):  bad\)\.$",
        ),
        (
            SEGFAULT.replace("SEGV", "KILL"),
            r"signal 9 \(SIGKILL, out of memory\?\): this graph is not verified in FP16",
        ),
        ("import os; os._exit(3)", "its process ended with exit status 3: ONNX Runtime cannot"),
        ("import time; time.sleep(60)", "it did not end within 1 s: this graph is not verified in FP16; keep"),
        ("raise KeyError('x')", "verification: KeyError: 'x': this graph is not verified in FP16; keep"),
        ("answer = 'it reads nothing'", r"verification: it reads nothing\.$"),
    ],
)
def test_whatever_happens_there_is_a_sentence(
    program: str, problem: str, tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "ocrhpi.workers.commands", raising=False)
    monkeypatch.setattr(verification, "_HALF_CHILD", program)
    monkeypatch.setattr(verification, "_TIMEOUT_S", 1.0)
    with pytest.raises(ExportError, match=problem):
        export_model(tiny, HALF, cache_dir=tmp_path / "cache")
    assert files_of(tmp_path / "cache") == ["full.onnx"]


def test_a_child_of_ours_starts_no_second_one(tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "_HALF_CHILD", SEGFAULT)
    monkeypatch.setitem(sys.modules, "ocrhpi.workers.commands", ModuleType("serving"))
    assert export_model(tiny, HALF, cache_dir=tmp_path / "cache").files.onnx
    assert files_of(tmp_path / "cache") == ["full-fp16.onnx", "full.onnx"]


def test_what_a_killed_export_left_is_removed(tiny: Model, tmp_path: Path) -> None:
    exported = export_model(tiny, cache_dir=tmp_path / "cache").files.onnx
    assert exported is not None
    for name in (".full-fp16.onnx.tmp", ".argmax.onnx.emulated.tmp", ".converted.tmp"):
        (exported.parent / name).write_bytes(b"half")
    export_model(tiny, GraphForm("argmax"), cache_dir=tmp_path / "cache")
    assert files_of(tmp_path / "cache") == ["argmax.onnx", "full.onnx"]


def test_onnx_runtime_that_refuses_a_graph_is_a_sentence(tiny: Model, tmp_path: Path) -> None:
    exported = export_model(tiny, cache_dir=tmp_path / "cache")
    damaged = tmp_path / "damaged.onnx"
    half = export_model(tiny, HALF, cache_dir=tmp_path / "cache").files.onnx
    assert half is not None
    graph = onnx.load(half)
    next(node for node in graph.graph.node if node.op_type == "Conv").input[1] = "nothing of that name"
    onnx.save(graph, damaged)
    with pytest.raises(
        ExportError, match=r"verification: ONNX Runtime cannot run this .*could not load .*; keep --pre"
    ):
        verification.verify_half(exported, damaged, damaged)


def test_a_program_is_asked_and_what_libraries_print_is_no_answer() -> None:
    program = "import os, sys; print('noise'); os.write(1, b'noise\\n'); answer = [arguments, sys.stdin.read()]"
    assert run_apart(program, ["a", "b"], given=b"c", timeout_s=60) == [["a", "b"], "c"]
    with pytest.raises(ApartFailed, match=r"^ValueError: no; FooError: why$"):
        run_apart("import sys; sys.stderr.write('FooError: why\\nlater\\n'); raise ValueError('no')", timeout_s=60)


IN_USER_CODE = """In user code:

    File "<string>", line 12, in <module>
      raise ValueError("nothing")
    UnavailableError: An error occurred while loading.
      [Hint: Expected true, but received 0.] (at /paddle/load.h:47)
      [operator < load_combine > error]"""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError(IN_USER_CODE), "UnavailableError: An error occurred while loading."),
        (ValueError("In user code:\n\n  (InvalidArgument) The shape.\n  [Hint: no]"), "(InvalidArgument) The shape."),
        (ValueError("In user code:\n\n  the end"), "the end"),
        (KeyError("x"), "KeyError: 'x'"),
        (AssertionError(), "AssertionError"),
        (
            RuntimeError("input 'x' of node:\nname: a\n is no output.\n\n==> Context: b"),
            "input 'x' of node: name: a is no",
        ),
        (OSError("x" * 1000), "OSError: " + "x" * 391),
        ("a sentence", "a sentence"),
        ("", ""),
    ],
)
def test_the_line_that_tells(error: Exception | str, line: str) -> None:
    told = telling_line(error)
    assert told.removeprefix("RuntimeError: ").startswith(line)
    assert "\n" not in told
    assert len(told) <= 400


@needs_paddle2onnx
def test_the_innermost_error_of_the_converter_is_told(v4_mobile_dir: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(v4_mobile_dir, tmp_path / "damaged")
    program = directory / "inference.pdmodel"
    program.write_bytes(program.read_bytes()[:90_000])
    problem = r"damaged: conversion: paddle2onnx failed: .*\(InvalidArgument\) Failed to parse program_desc.*\.$"
    with pytest.raises(ExportError, match=problem):
        export_model(load_model(directory), cache_dir=tmp_path / "cache")
    assert files_of(tmp_path / "cache") == []


def test_weights_in_a_file_that_has_gone_are_a_sentence(tmp_path: Path) -> None:
    directory = tmp_path / "outside"
    file = write_tiny_onnx(directory / "inference.onnx")
    write_config(directory)
    onnx.save(onnx.load(file), file, save_as_external_data=True, location="weights.bin")
    model = load_model(directory)
    assert model.fingerprint
    (directory / "weights.bin").unlink()
    with pytest.raises(ExportError, match=r"inference\.onnx: reading: .*weights\.bin"):
        export_model(model, cache_dir=tmp_path / "cache")
    assert files_of(tmp_path / "cache") == []
