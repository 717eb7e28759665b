from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ocrhpi.backends.onnxruntime_ import OnnxRuntimeBackend
from ocrhpi.backends.openvino_ import OpenVinoBackend
from ocrhpi.errors import BackendError, BackendMismatch, BackendUnavailable, OptionError
from ocrhpi.export.exporter import GraphForm, export_model
from ocrhpi.machine import usable_cores
from ocrhpi.model import Model, ModelFiles
from ocrhpi.predictor import Predictor
from ocrhpi.reading.engine import EngineReader
from tests.conftest import needs_paddle2onnx
from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.label_file import Label

openvino = pytest.importorskip("openvino")

BATCH = np.random.default_rng(0).uniform(-1, 1, (2, 3, 48, 320)).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_onnx_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def capabilities() -> list[str]:
    return list(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


@pytest.mark.parametrize(
    ("options", "streams"),
    [
        ({}, 1),
        ({"threads": 1}, 1),
        ({"hint": "throughput", "threads": 1}, 1),
        ({"hint": "throughput", "streams": 1}, 1),
        ({"streams": 1, "requests": 3}, 1),
        ({"pinning": True, "runtime_cache": 0}, 1),
    ],
    ids=str,
)
def test_settings_are_in_force_and_read_the_same(model: Model, options: dict[str, Any], streams: int) -> None:
    with OpenVinoBackend(model, "cpu") as default, OpenVinoBackend(model, "cpu", options) as backend:
        np.testing.assert_array_equal(backend.run(BATCH).indices, default.run(BATCH).indices)
        effective = backend.effective
        assert effective.threads == options.get("threads", usable_cores())
        assert effective.settings["streams"] == streams
        assert effective.settings["requests"] == backend.parallel_requests == options.get("requests", streams)
        assert effective.settings["runtime_cache"] == options.get("runtime_cache", 2000)
        assert effective.precision == "fp32"
        assert effective.notes == ()


@pytest.mark.parametrize(
    ("options", "cache"),
    [
        ({}, 2000),
        ({"shape_count": 1}, 80),
        ({"shape_count": 46}, 3680),
        ({"shape_count": 46, "runtime_cache": 7}, 7),
        ({"runtime_cache": 0}, 0),
    ],
    ids=str,
)
def test_the_cache_holds_the_shapes_to_come(model: Model, options: dict[str, Any], cache: int) -> None:
    with OpenVinoBackend(model, "cpu", options) as backend:
        assert backend.effective.settings["runtime_cache"] == cache


def test_what_openvino_cuts_down_is_noted(model: Model) -> None:
    with OpenVinoBackend(model, "cpu", {"threads": 1024, "streams": 2048, "requests": 1}) as backend:
        threads, streams = backend.effective.threads, backend.effective.settings["streams"]
        assert backend.effective.notes == (
            f"1024 threads asked for, OpenVINO takes {threads}",
            f"2048 streams asked for, OpenVINO takes {streams}",
        )


@pytest.mark.parametrize(("precision", "capability"), [("bf16", "BF16"), ("fp16", "FP16")])
def test_a_precision_runs_or_is_refused(model: Model, capabilities: list[str], precision: str, capability: str) -> None:
    backend = OpenVinoBackend(model, "cpu", {"precision": precision})
    if capability not in capabilities:
        with pytest.raises(BackendMismatch, match=f"asked for precision {precision}, but OpenVINO would run"):
            backend.open()
        return
    with backend, OpenVinoBackend(model, "cpu") as exact:
        assert backend.effective.precision == precision
        np.testing.assert_allclose(backend.run(BATCH).probs, exact.run(BATCH).probs, atol=0.05)


@needs_paddle2onnx
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_columns_are_counted_exactly_in_every_precision(
    v4_mobile: Model, models_dir: Path, capabilities: list[str], precision: str
) -> None:
    """BF16 knows no odd number above 256."""
    if precision.upper() not in {"FP32", *capabilities}:
        pytest.skip(f"this CPU has no {precision}")
    masked = export_model(v4_mobile, GraphForm("argmax", masked=True), cache_dir=models_dir)
    widths = np.array([2400, 2393, 1801, 1799, 513, 257, 320, 5], np.int32)
    batch = np.random.default_rng(0).uniform(-1, 1, (len(widths), 3, 48, 2400)).astype(np.float32)
    batch *= np.arange(2400) < widths[:, None, None, None]
    with OpenVinoBackend(masked, "cpu", {"precision": precision}) as backend:
        steps = backend.run(batch, widths).steps
    with OnnxRuntimeBackend(masked, "cpu") as reference:
        expected = reference.run(batch, widths).steps
    assert steps is not None
    assert expected is not None
    assert steps.tolist() == expected.tolist()
    assert expected.tolist() == [-(-int(width) // 4) // 2 for width in widths]


@pytest.mark.parametrize("device", ["gpu:7", "tpu", "cpu:1"])
def test_a_device_that_is_not_there_is_never_replaced(model: Model, device: str) -> None:
    with pytest.raises(BackendMismatch, match=f"asked for device {device}.*, but OpenVINO finds here: .*cpu"):
        OpenVinoBackend(model, device).open()


@pytest.mark.parametrize("device", [None, "auto"])
def test_without_a_device_one_is_chosen_and_named(model: Model, device: str | None) -> None:
    with OpenVinoBackend(model, device) as backend:
        assert backend.effective.device.split(":")[0] in {"cpu", "gpu"}


def test_compiled_models_are_cached_where_asked(model: Model, tmp_path: Path) -> None:
    options = {"cache_dir": str(tmp_path / "cache")}
    with OpenVinoBackend(model, "cpu") as plain:
        expected = plain.run(BATCH)
    for _ in range(2):
        with OpenVinoBackend(model, "cpu", options) as backend:
            np.testing.assert_array_equal(backend.run(BATCH).indices, expected.indices)
        assert list((tmp_path / "cache").iterdir())


def test_the_old_paddle_format_needs_no_onnx(v4_mobile: Model, lines_dir: Path, labels: dict[str, Label]) -> None:
    names = list(labels)[::10]
    with Predictor(EngineReader(v4_mobile, OpenVinoBackend(v4_mobile, "cpu").open())) as predictor:
        read = [line["rec_text"] for line in predictor.predict_iter([str(lines_dir / name) for name in names])]
    assert read == [labels[name].text for name in names]


def test_a_damaged_paddle_program_is_an_error_that_names_it(v4_mobile: Model, tmp_path: Path) -> None:
    graph = tmp_path / "inference.pdmodel"
    graph.write_bytes(b"<html>not found</html>")
    files = ModelFiles(paddle_graph=graph, paddle_parameters=v4_mobile.files.paddle_parameters)
    model = Model("m", tmp_path, files, v4_mobile.spec, v4_mobile.vocabulary)
    with pytest.raises(BackendError, match=str(graph)):
        OpenVinoBackend(model, "cpu").open()


def test_onnx_wins_over_the_old_paddle_format(v4_mobile: Model, model: Model) -> None:
    files = ModelFiles(v4_mobile.files.paddle_graph, v4_mobile.files.paddle_parameters, model.files.onnx)
    both = Model("m", model.path, files, model.spec, model.vocabulary)
    with OpenVinoBackend(both, "cpu") as backend, OpenVinoBackend(model, "cpu") as onnx:
        np.testing.assert_array_equal(backend.run(BATCH).indices, onnx.run(BATCH).indices)


def test_a_missing_library_is_a_sentence_with_the_install_line(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'ocrhpi\[openvino\]'"):
        OpenVinoBackend(model, "cpu").open()


@pytest.mark.parametrize(
    "options",
    [
        *({"threads": 0}, {"streams": "2"}, {"precision": "int4"}, {"hint": "fast"}, {"cache_dir": ""}),
        *({"shape_count": 0}, {"runtime_cache": -1}),
    ],
    ids=str,
)
def test_options_that_do_not_fit(model: Model, options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        OpenVinoBackend(model, "cpu", options)


CLOSED_ELSEWHERE = """
import signal, sys, threading
from ocrhpi.loader import load_predictor
predictor = load_predictor(model_dir=sys.argv[1], backend="openvino")
closing = threading.Thread(target=predictor.close)
closing.start()
closing.join()
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
signal.raise_signal(signal.SIGTERM)
"""


def test_a_signal_after_another_thread_closed_it_does_not_kill_the_process(tiny_both_dir: Path) -> None:
    command = [sys.executable, "-c", CLOSED_ELSEWHERE, str(tiny_both_dir)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "handled\n"), run.stderr


class Failing:
    """A request of a network that fails half-way."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def infer(self, *_: Any, **__: Any) -> Any:
        raise self.error


def test_after_a_failure_the_network_is_compiled_anew(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenVinoBackend(model, "cpu") as backend:
        expected = backend.run(BATCH).indices
        compiled = []
        compile_anew = backend._compile
        monkeypatch.setattr(backend, "_compile", lambda: compiled.append(1) or compile_anew())  # type: ignore[func-returns-value]
        for failures in (1, 2):
            backend._idle.get()  # type: ignore[union-attr]
            backend._idle.put(Failing(RuntimeError("Failed to allocate")))  # type: ignore[union-attr]
            with pytest.raises(BackendError, match="Failed to allocate"):
                backend.run(BATCH)
            for _ in range(2):
                np.testing.assert_array_equal(backend.run(BATCH).indices, expected)
            assert len(compiled) == failures


def test_a_call_that_ran_beside_a_failure_is_run_again(model: Model) -> None:
    with OpenVinoBackend(model, "cpu", {"requests": 2}) as backend:
        expected = backend.run(BATCH).indices
        request = backend._idle.get()  # type: ignore[union-attr]

        class Stale:
            def infer(self, *_: Any, **options: Any) -> Any:
                outputs = request.infer({0: np.zeros_like(BATCH)}, **options)
                backend._idle = None  # another call fails
                return outputs

        backend._idle.get()  # type: ignore[union-attr]
        backend._idle.put(Stale())  # type: ignore[union-attr]
        np.testing.assert_array_equal(backend.run(BATCH).indices, expected)


def test_a_network_that_cannot_be_compiled_again_says_so_and_is_tried_each_time(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenVinoBackend(model, "cpu") as backend:
        expected = backend.run(BATCH).indices
        backend._idle = None
        compile_anew = backend._compile
        monkeypatch.setattr(backend, "_compile", lambda: Failing(MemoryError("none left")).infer())
        for _ in range(2):
            with pytest.raises(BackendError, match="none left"):
                backend.run(BATCH)
        monkeypatch.setattr(backend, "_compile", compile_anew)
        np.testing.assert_array_equal(backend.run(BATCH).indices, expected)
