"""The GPU check without a GPU: its dry run from end to end, and that whatever fails is a line of the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.gpu_check import run, steps, wheels
from benchmarks.gpu_check.__main__ import main
from benchmarks.gpu_check.clock import Clock
from benchmarks.gpu_check.measuring import BATCHES, Place, Result, count_equal_texts, measure
from benchmarks.gpu_check.report import Report
from benchmarks.gpu_check.steps import Line
from benchmarks.gpu_check.ways import EAGER, GRAPHS, Way, reason_against, ways_of
from ocrhpi.backends.onnxruntime_ import OnnxRuntimeBackend
from ocrhpi.backends.tensorrt_ import TensorRtBackend
from ocrhpi.config.candidate import Candidate
from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from ocrhpi.model import Model

SCRIPT = Path(__file__).parents[2] / "scripts" / "gpu_check"
SECONDS = 80.0
BACKENDS = {"onnxruntime": OnnxRuntimeBackend, "tensorrt": TensorRtBackend}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one tiny model, and one that is none."""
    folder = tmp_path_factory.mktemp("models")
    tiny_onnx_model(folder / "tiny")
    (folder / "damaged").mkdir()
    return folder


@pytest.fixture
def tiny(models: Path) -> Model:
    return run._models(models, ["tiny"])[0]


def test_the_dry_run(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dry = [way for way in ways_of("cpu") if way.candidate.backend != "openvino"]
    monkeypatch.setattr(run, "ways_of", lambda _device: [dry[0], dry[-1]])
    monkeypatch.setattr(steps, "_TESTS", ("tests/backends/test_tf32.py",))
    monkeypatch.setattr(run, "_TUNING_S", (10.0, 10.0))
    arguments = ["--models", str(models), "--model", "tiny", "--device", "cpu", "--lines", "3"]
    start = time.monotonic()
    main([str(tmp_path), *arguments, "--seconds", str(SECONDS)])
    assert time.monotonic() - start < SECONDS
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    baseline, paddle = report["results"]
    assert (baseline["reason"], baseline["texts_equal"], len(baseline["texts"])) == ("", 3, 3)
    assert baseline["effective"]["device"] == "cpu"
    for times in (baseline["passes_ms"], baseline["engine_ms"]):
        assert times.keys() == set(map(str, BATCHES))
        assert all(ms > 0 for passes in times.values() for ms in passes)
    assert all(len(pair) == 2 for pair in baseline["new_widths_ms"])
    for parts in baseline["parts_ms"].values():
        assert parts.keys() == {"read", "call", "device"}
        assert all(ms > 0 for times in parts.values() for ms in times)
    assert "does not run ONNX" in paddle["reason"]
    tests, tuning = report["steps"]
    assert tests["step"] == "GPU tests"
    assert "passed" in tests["text"]
    # On a machine that is busy otherwise the tuning may not come to its end, but must say so.
    assert tuning["good"] or tuning["text"].startswith(("skipped: no time", "stopped after"))
    text = (tmp_path / "report.md").read_text("utf-8")
    assert "| onnxruntime, exact widths |" in text
    assert "- Paddle: load: ModelNotFound" in text


def test_the_script_needs_no_engine_to_refuse(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHON": sys.executable}
    command: list[Path | str] = [SCRIPT, tmp_path / "out", "--models", tmp_path / "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert done.returncode == 2
    assert "nowhere is no folder" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [(["--model", "damaged"], "holds no model"), (["--model", "none"], "none: "), (["--device", "1"], "device")],
)
def test_nothing_to_run(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str
) -> None:
    assert main([str(tmp_path), "--models", str(models), *arguments]) == 2
    assert problem in capsys.readouterr().err


def test_preparing_exports_each_graph_once(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exact = Candidate(backend="onnxruntime", device="cpu")
    ways = [Way("one", exact), Way("other", exact.model_copy(update={"options": {"threads": 1}}))]
    monkeypatch.setattr(run, "ways_of", lambda _device: ways)
    arguments = ["--models", str(models), "--model", "tiny", "--cache", str(tmp_path / "cache"), "--prepare"]
    assert main([str(tmp_path / "out"), *arguments]) == 0
    assert capsys.readouterr().out.splitlines() == ["tiny_rec, other: there"]
    assert list((tmp_path / "cache" / "exports").rglob("argmax.onnx"))


@pytest.mark.parametrize("device", ["cpu", "gpu:1"])
def test_every_way_is_one_that_its_backend_takes(tiny: Model, device: str) -> None:
    ways = ways_of(device)
    assert len({way.name for way in ways}) == len(ways)
    assert ways[0].core
    assert ways[0].candidate.lossless
    assert {way.candidate.device for way in ways} == {device}
    for way in ways:
        made = BACKENDS.get(way.candidate.backend)
        if made is not None:
            shapes = {"shapes": [(64, 320)]} if way.candidate.buckets else {}
            made(tiny, device, {**way.candidate.options, **shapes})


def test_the_gpus_ways_cover_every_provider_at_both_precisions() -> None:
    ways = ways_of("gpu:0")
    found = {(way.candidate.backend, way.candidate.options.get("provider"), way.candidate.precision) for way in ways}
    providers = [("onnxruntime", name) for name in ("cuda", "tensorrt-rtx")]
    for backend, provider in [*providers, ("tensorrt", None)]:
        assert {(backend, provider, "fp32"), (backend, provider, "fp16")} <= found
    assert {EAGER, GRAPHS} <= {way.name for way in ways}


def test_what_cannot_run_here_starts_no_process(tiny: Model, tmp_path: Path) -> None:
    place = Place(tmp_path / "cache", tmp_path / "logs", 2)
    far = next(way for way in ways_of("gpu:99") if way.candidate.options.get("provider") == "cuda")
    assert measure(tiny, far, place, Clock(60)).reason == reason_against(far) != ""
    assert measure(tiny, ways_of("cpu")[0], place, Clock(0)).reason == "no time was left"
    assert not (tmp_path / "logs").exists()


def test_a_way_that_hangs_is_ended_with_what_was_measured(
    tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.gpu_check.measuring._MAX_S", 0.2)
    result = measure(tiny, ways_of("cpu")[0], Place(tmp_path / "cache", tmp_path / "logs", 2), Clock(60))
    assert "prepare: no answer within 0." in result.reason
    assert result.texts == []


def result(way: str, **found: Any) -> Result:
    return Result("m", way, {}, **found)


def test_the_tables_compare_with_the_baseline(tmp_path: Path) -> None:
    report = Report(tmp_path, "gpu:0", 2, "base", steps=[Line("GPU tests", good=False, text="1 failed")])
    one = {"read": [3.0], "call": [2.5], "device": [2.0]}
    eager = {1: one, 8: {"read": [5.0], "call": [4.0], "device": [3.0]}}
    graphs = {8: {"read": [5.0], "call": [2.0], "device": [1.5]}}
    report.results = [
        result("base", passes_ms={1: [4.0], 8: [2.0]}, texts=["a", "b"]),
        result(EAGER, passes_ms={1: [2.0, 1.0, 3.0]}, texts=["a", "c"], parts_ms=eager, new_widths_ms=[(1, 2), (9, 3)]),
        result(GRAPHS, passes_ms={1: [1.0]}, parts_ms=graphs),
        result("late", reason="no time was left"),
    ]
    count_equal_texts(report.results, "base")
    text = report.markdown()
    assert "- GPU tests: FAILED: 1 failed" in text
    assert "| base | 250 | 500 | - |" in text
    assert f"| {EAGER} | 500 (2.00x) | - | - |" in text
    assert "| 9.0, 3.0 | 3.00, 1.50x | 25% of 4.00 ms | 1 of 2 |" in text
    assert "Launches: 50% of 3.00 ms on the device" in text
    assert "- late: no time was left" in text
    assert not report.good


def test_a_command_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; print('working', flush=True); time.sleep(60)"]
    code, said = steps._run(command, Clock(1.5), tmp_path / "log" / "slow.log")
    assert code is None
    assert said.startswith("stopped after")
    assert said.endswith("working")


def test_a_clock_counts_down_and_has_parts() -> None:
    clock = Clock(100)
    assert 99 < clock.left <= 100
    assert 49 < clock.part(0.5).left <= 50
    assert clock.part(0.5, most=3).left <= 3
    assert Clock(-1).left == 0


def test_wheels_are_unpacked_and_the_program_starts_again_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, output = tmp_path / "wheels", tmp_path / "out"
    folder.mkdir()
    output.mkdir()
    for name in ("first", "second"):  # as NVIDIA's, they share a folder
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"shared/{name}.py", "")
    (folder / "third-1.0-py3-none-any.whl").write_bytes(b"no wheel")
    calls: list[Any] = []
    monkeypatch.setattr(os, "execve", lambda *call: calls.append(call))
    monkeypatch.setenv("PYTHONPATH", "before")
    wheels.use_wheels(folder, output, Clock(50))
    ((_, command, environment),) = calls
    assert command[-2] == "--seconds"
    assert 49 < float(command[-1]) <= 50
    assert environment["PYTHONPATH"] == f"{output / 'packages'}{os.pathsep}before"
    assert sorted(path.name for path in (output / "packages" / "shared").iterdir()) == ["first.py", "second.py"]
    log = (output / wheels.WHEEL_LOG).read_text("utf-8").splitlines()
    assert [line.partition(": ")[2][:12] for line in log] == ["unpacked", "unpacked", "not unpacked"]
    monkeypatch.setenv(wheels._MARK, environment[wheels._MARK])
    wheels.use_wheels(folder, output, Clock(50))
    assert len(calls) == 1
