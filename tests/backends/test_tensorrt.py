"""The backend's whole flow, with fakes of TensorRT and CUDA that compute with ONNX Runtime."""

from __future__ import annotations

import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ocrhpi.backends.onnxruntime_ import OnnxRuntimeBackend
from ocrhpi.backends.tensorrt_ import TensorRtBackend
from ocrhpi.errors import (
    BackendError,
    BackendMismatch,
    BackendUnavailable,
    BatchError,
    ModelFormatError,
    ModelNotFound,
    OptionError,
)
from ocrhpi.model import Model, ModelFiles
from tests.backends.trt.conftest import *  # noqa: F403 - the fixtures
from tests.backends.trt.tiny_graphs import half_model, pixel_model
from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.values import Emissions
    from tests.backends.trt.fake_cuda import FakeCuda

SHAPES = [[4, 320], [2, 640]]
one_version = pytest.mark.parametrize("version", ["10.16.1.11"], indirect=True)
before_8_6 = pytest.mark.parametrize("version", ["8.5.3.1"], indirect=True)
from_8_6 = pytest.mark.parametrize("version", ["8.6.1", "11.4.0.106"], indirect=True)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_onnx_model(tmp_path_factory.mktemp("models") / "plain", head="argmax")


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_onnx_model(tmp_path_factory.mktemp("models") / "masked", head="argmax", masked=True)


def batch(lines: int, width: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(-1, 1, (lines, 3, 48, width)).astype(np.float32)


def assert_same(got: Emissions, expected: Emissions) -> None:
    np.testing.assert_array_equal(got.indices, expected.indices)
    np.testing.assert_allclose(got.probs, expected.probs, atol=1e-6)
    assert (got.steps is None) == (expected.steps is None)
    if expected.steps is not None:
        np.testing.assert_array_equal(got.steps, expected.steps)


@pytest.mark.parametrize("head", ["full", "argmax", "argmax64", "topk"])
@pytest.mark.usefixtures("installed")
def test_it_reads_what_onnxruntime_reads(head: Any, cuda: FakeCuda, tmp_path: Path) -> None:
    model = tiny_onnx_model(tmp_path / "tiny", head=head)
    with OnnxRuntimeBackend(model, "cpu") as reference, TensorRtBackend(model, options={"shapes": SHAPES}) as backend:
        for lines, width in [(1, 320), (4, 320), (2, 640)]:
            assert_same(backend.run(batch(lines, width)), reference.run(batch(lines, width)))
    assert cuda.nothing_left


def test_what_really_runs_is_told(installed: Any, plain: Model) -> None:
    with TensorRtBackend(plain, "gpu:0", {"shapes": SHAPES}) as backend:
        effective = backend.effective
    assert effective.device == "gpu:0"
    assert effective.precision == "fp32"
    assert effective.engine_version == installed.__version__
    assert effective.threads == 0
    assert effective.notes == ()
    assert effective.settings["gpu"] == "Fake L4, compute capability 8.9"
    assert effective.settings["profiles"] == ["1 to 4 x 320", "1 to 2 x 640"]
    assert effective.settings["layers"] == {"fp32": 1.0}
    assert effective.settings["engine"] == "built"
    assert effective.settings["requests"] == 1
    with TensorRtBackend(plain, "gpu:0", {"shapes": SHAPES}) as backend:
        assert backend.effective.settings["engine"] == "cached"
    assert len(installed._state.builds) == 1


@pytest.mark.usefixtures("installed")
def test_fp16_comes_from_the_graph_and_is_read_back(tmp_path: Path) -> None:
    model = half_model(tmp_path)
    with TensorRtBackend(model, options={"precision": "fp16", "shapes": SHAPES}) as backend:
        assert backend.effective.precision == "fp16"
        assert set(backend.effective.settings["layers"]) == {"fp16", "fp32"}
        with OnnxRuntimeBackend(model, "cpu", {"precision": "fp16"}) as reference:
            assert_same(backend.run(batch(2, 320)), reference.run(batch(2, 320)))


def test_fp16_that_runs_in_fp32_is_a_mismatch(installed: Any, cuda: FakeCuda, tmp_path: Path) -> None:
    installed._state.ignore_types = True
    with pytest.raises(BackendMismatch, match="asked for precision fp16, but TensorRT runs all convolutions otherwise"):
        TensorRtBackend(half_model(tmp_path), options={"precision": "fp16", "shapes": SHAPES}).open()
    assert cuda.nothing_left


@one_version
@pytest.mark.usefixtures("installed")
def test_a_graph_of_another_precision_is_a_mismatch(plain: Model, tmp_path: Path) -> None:
    with pytest.raises(BackendMismatch, match=r"asked for precision fp16, but the graph .* is fp32"):
        TensorRtBackend(plain, options={"precision": "fp16"}).open()
    with pytest.raises(BackendMismatch, match=r"asked for precision fp32, but the graph .* is fp16"):
        TensorRtBackend(half_model(tmp_path)).open()


@pytest.mark.usefixtures("installed")
def test_a_masked_batch_is_padded_into_the_next_bucket(masked: Model) -> None:
    lines, widths = batch(3, 336), np.array([336, 100, 8], np.int32)
    with OnnxRuntimeBackend(masked, "cpu") as reference, TensorRtBackend(masked, options={"shapes": SHAPES}) as backend:
        assert backend.masked
        expected, got = reference.run(lines, widths), backend.run(lines, widths)
        steps = expected.indices.shape[1]
        assert got.indices.shape == (3, 640 // 8)
        np.testing.assert_array_equal(got.indices[:, :steps], expected.indices)
        np.testing.assert_array_equal(got.steps, expected.steps)
        assert not got.indices[:, steps:].any()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("with_widths", [False, True])
def test_pixels_are_normalised_in_the_graph(tmp_path: Path, with_widths: bool) -> None:
    model = pixel_model(tmp_path, masked=with_widths)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 48, 320, 3), np.uint8)
    contents = np.array([320, 7, 100], np.int32)
    widths = np.array([320, 80, 160], np.int32) if with_widths else None
    with OnnxRuntimeBackend(model, "cpu") as reference, TensorRtBackend(model, options={"shapes": SHAPES}) as backend:
        assert backend.takes_pixels
        assert_same(backend.run(pixels, widths, contents), reference.run(pixels, widths, contents))


@one_version
@pytest.mark.usefixtures("installed")
def test_a_plain_batch_of_another_width_is_refused_since_padding_changes_text(plain: Model) -> None:
    with (
        TensorRtBackend(plain, options={"shapes": SHAPES}) as backend,
        pytest.raises(BatchError, match=r"received a batch 333 pixels wide, expected .* 1 to 4 x 320, 1 to 2 x 640"),
    ):
        backend.run(batch(1, 333))


@one_version
@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("width", [31, 3201])
def test_without_shapes_any_usual_width_runs_and_others_are_refused(plain: Model, width: int) -> None:
    with OnnxRuntimeBackend(plain, "cpu") as reference, TensorRtBackend(plain) as backend:
        for usual in (32, 320, 321, 1000, 3200):
            assert_same(backend.run(batch(2, usual)), reference.run(batch(2, usual)))
        with pytest.raises(BatchError, match=f"a batch {width} pixels wide"):
            backend.run(batch(1, width))


def test_nothing_is_built_after_opening(installed: Any, masked: Model) -> None:
    with TensorRtBackend(masked, options={"shapes": SHAPES}) as backend:
        contexts = len(installed._state.contexts)
        for width in (1, 320, 500, 640):
            backend.run(batch(7, width), np.full(7, width, np.int32))
        assert len(installed._state.builds) == 1
        assert len(installed._state.contexts) == contexts == 2


@pytest.mark.usefixtures("installed")
def test_more_lines_than_a_profile_takes_run_in_parts(masked: Model) -> None:
    lines, widths = batch(11, 320), np.arange(100, 210, 10, dtype=np.int32)
    with OnnxRuntimeBackend(masked, "cpu") as reference, TensorRtBackend(masked, options={"shapes": SHAPES}) as backend:
        assert_same(backend.run(lines, widths), reference.run(lines, widths))


@one_version
@pytest.mark.usefixtures("installed")
def test_full_output_of_parts_is_reduced_together(tmp_path: Path) -> None:
    model = tiny_onnx_model(tmp_path / "tiny", head="full")
    with OnnxRuntimeBackend(model, "cpu") as reference, TensorRtBackend(model, options={"shapes": SHAPES}) as backend:
        assert_same(backend.run(batch(5, 320)), reference.run(batch(5, 320)))


@from_8_6
@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("options", [{"requests": 3}, {"requests": 2, "cuda_graphs": True}], ids=str)
def test_many_threads_get_the_sequential_results(plain: Model, cuda: FakeCuda, options: dict[str, Any]) -> None:
    batches = [batch(1 + seed % 4, 320 + 320 * (seed % 2), seed) for seed in range(24)]
    with TensorRtBackend(plain, options={"shapes": SHAPES, **options}) as backend:
        sequential = [backend.run(one) for one in batches]
        with ThreadPoolExecutor(8) as pool:
            concurrent = list(pool.map(backend.run, batches))
        for got, expected in zip(concurrent, sequential, strict=True):
            assert_same(got, expected)
    assert cuda.nothing_left


@one_version
@pytest.mark.usefixtures("installed")
def test_results_belong_to_the_caller(plain: Model) -> None:
    with TensorRtBackend(plain, options={"shapes": SHAPES}) as backend:
        first = backend.run(batch(2, 320, seed=1))
        indices, probs = first.indices.copy(), first.probs.copy()
        backend.run(batch(2, 320, seed=2))
        np.testing.assert_array_equal(first.indices, indices)
        np.testing.assert_array_equal(first.probs, probs)


@from_8_6
@pytest.mark.usefixtures("installed")
def test_the_third_batch_of_a_shape_is_one_launch(masked: Model, cuda: FakeCuda) -> None:
    options = {"shapes": SHAPES, "cuda_graphs": True}
    widths = np.array([100, 320, 50], np.int32)
    with OnnxRuntimeBackend(masked, "cpu") as reference, TensorRtBackend(masked, options=options) as backend:
        assert backend.effective.settings["cuda_graphs"] is True
        launches = []
        for seed in range(4):
            before = cuda.launches
            assert_same(backend.run(batch(3, 320, seed), widths), reference.run(batch(3, 320, seed), widths))
            launches.append(cuda.launches - before)
        assert launches == [0, 1, 1, 1]
    assert cuda.nothing_left


@one_version
def test_each_graph_has_a_context_of_its_own(installed: Any, plain: Model) -> None:
    with TensorRtBackend(plain, options={"shapes": SHAPES, "cuda_graphs": True}) as backend:
        contexts = len(installed._state.contexts)
        assert contexts == 4  # of two profiles, and of the graph of the largest shape of each
        for lines in (1, 1, 2, 2, 4):
            backend.run(batch(lines, 320))
        assert len(installed._state.contexts) == contexts + 2


@one_version
@pytest.mark.usefixtures("installed")
def test_beyond_the_most_graphs_kernels_are_launched_one_by_one(
    plain: Model, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocrhpi.backends.trt.request.MAX_GRAPHS", 2)
    with TensorRtBackend(plain, options={"shapes": SHAPES, "cuda_graphs": True}) as backend:
        before = cuda.launches
        for _ in range(3):
            backend.run(batch(1, 320))
        assert cuda.launches == before


@one_version
@pytest.mark.usefixtures("installed")
def test_graphs_that_cannot_be_captured_are_a_mismatch(plain: Model, cuda: FakeCuda) -> None:
    cuda.capturable = False
    with pytest.raises(BackendMismatch, match="asked for cuda_graphs, but CUDA captures no graph of this engine"):
        TensorRtBackend(plain, options={"shapes": SHAPES, "cuda_graphs": True}).open()
    assert cuda.nothing_left


@one_version
@pytest.mark.usefixtures("installed")
def test_a_shape_that_cannot_be_captured_later_is_noted(
    plain: Model, cuda: FakeCuda, caplog: pytest.LogCaptureFixture
) -> None:
    with TensorRtBackend(plain, options={"shapes": SHAPES, "cuda_graphs": True}) as backend:
        cuda.capturable = False
        with caplog.at_level(logging.WARNING, "ocrhpi.tensorrt"):
            results = [backend.run(batch(3, 320)) for _ in range(4)]
        for result in results:
            assert_same(result, results[0])
        (note,) = backend.effective.notes
        assert note.startswith("a batch of 3 x 320 runs without a CUDA graph: cudaStreamEndCapture")
        assert len(caplog.records) == 1


@one_version
def test_a_shape_without_a_context_for_its_graph_is_noted(
    installed: Any, plain: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TensorRtBackend(plain, options={"shapes": SHAPES, "cuda_graphs": True}) as backend:
        monkeypatch.setattr(installed.ICudaEngine, "create_execution_context", lambda *_: None)
        results = [backend.run(batch(3, 320)) for _ in range(3)]
        assert_same(results[-1], results[0])
        (note,) = backend.effective.notes
        assert "runs without a CUDA graph" in note
        assert "TensorRT makes no execution context" in note


@one_version
@pytest.mark.usefixtures("installed")
def test_graphs_without_cuda_bindings_are_a_mismatch(plain: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda", None)
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(BackendMismatch, match=r"asked for cuda_graphs, but .*pip install cuda-bindings"):
        TensorRtBackend(plain, options={"cuda_graphs": True}).open()
    with TensorRtBackend(plain, options={"shapes": SHAPES}) as backend:  # needs none
        backend.run(batch(1, 320))


@before_8_6
@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("options", [{"requests": 2}, {"cuda_graphs": True}], ids=str)
def test_what_takes_several_contexts_of_a_profile_takes_tensorrt_8_6(plain: Model, options: dict[str, Any]) -> None:
    with pytest.raises(BackendMismatch, match=f"asked for {next(iter(options))}=.* a profile serves one execution"):
        TensorRtBackend(plain, options=options).open()


@pytest.mark.parametrize("version", ["8.4.3.1"], indirect=True)
@pytest.mark.usefixtures("installed")
def test_older_versions_are_unavailable(plain: Model) -> None:
    with pytest.raises(BackendUnavailable, match=r"TensorRT 8\.4\.3\.1 is too old, 8\.5 is the oldest"):
        TensorRtBackend(plain).open()


def test_a_run_that_fails_is_told_in_the_words_of_tensorrt(installed: Any, plain: Model, cuda: FakeCuda) -> None:
    with TensorRtBackend(plain, options={"shapes": SHAPES}) as backend:
        installed._state.run_error = "Error Code 1: Cask (CUDA error 700)"
        with pytest.raises(BackendError, match=r"TensorRT does not run .*Error Code 1: Cask \(CUDA error 700\)"):
            backend.run(batch(1, 320))
        installed._state.run_error = ""
        backend.run(batch(1, 320))  # the request was given back
    assert cuda.nothing_left


@one_version
@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("after", range(1, 5))
def test_a_gpu_without_memory_is_an_error_that_leaves_nothing_behind(
    plain: Model, cuda: FakeCuda, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    allocate, sizes = cuda.driver.mem_alloc, []

    def fail(size: int) -> Any:
        sizes.append(size)
        if len(sizes) == after:
            raise cuda.error("cuMemAlloc failed: out of memory")
        return allocate(size)

    monkeypatch.setattr(cuda.driver, "mem_alloc", fail)
    with pytest.raises(BackendError, match=r"could not load .*cuMemAlloc failed: out of memory"):
        TensorRtBackend(plain, options={"shapes": SHAPES}).open()
    assert cuda.nothing_left


@one_version
@pytest.mark.usefixtures("installed")
def test_the_kernels_alone_can_be_timed(masked: Model) -> None:
    with TensorRtBackend(masked, options={"shapes": SHAPES}) as backend:
        times = backend.device_ms(2, 640, 3)
        assert len(times) == 3
        assert min(times) > 0
        backend.run(batch(1, 320), np.array([320], np.int32))


@one_version
@pytest.mark.usefixtures("installed")
def test_it_can_be_closed_from_another_thread(plain: Model, cuda: FakeCuda) -> None:
    backend = TensorRtBackend(plain, options={"shapes": SHAPES}).open()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(backend.close).result()
    assert cuda.nothing_left


@one_version
@pytest.mark.usefixtures("installed")
def test_files_that_are_missing_or_belong_to_another_model(plain: Model, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="an ONNX file for the backend 'tensorrt'"):
        TensorRtBackend(Model("m", tmp_path, ModelFiles(), plain.spec, plain.vocabulary)).open()
    other = Model("m", plain.path, plain.files, plain.spec, ("a", "b"))
    with (
        pytest.raises(ModelFormatError, match="do not belong together"),
        TensorRtBackend(other, options={"shapes": SHAPES}) as backend,
    ):
        backend.run(batch(4, 320))


@pytest.mark.parametrize("missing", ["tensorrt", "pycuda", "pycuda.driver"])
@one_version
@pytest.mark.usefixtures("installed")
def test_a_missing_package_is_a_sentence_with_the_install_line(
    plain: Model, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(BackendUnavailable, match=r"do not import.*pip install 'ocrhpi\[tensorrt\]'"):
        TensorRtBackend(plain).open()


def test_a_missing_library_of_nvidia_is_told(plain: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "pycuda", "pycuda.driver"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "pycuda").mkdir()
    (tmp_path / "pycuda" / "__init__.py").touch()
    (tmp_path / "pycuda" / "driver.py").touch()
    lacking = "raise OSError('libnvinfer.so.10: cannot open shared object file: No such file or directory')"
    (tmp_path / "tensorrt.py").write_text(lacking)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackendUnavailable, match=r"libnvinfer\.so\.10: cannot open shared object"):
        TensorRtBackend(plain).open()


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "int8"},
        {"shapes": [[0, 320]]},
        {"shapes": [[4, 320, 1]]},
        {"shapes": [["4", 320]]},
        {"requests": 0},
        {"cuda_graphs": 1},
        {"optimization_level": 6},
        {"workspace_mib": 0},
        {"hardware_compatibility": "any"},
        {"build_seconds": 0},
    ],
    ids=str,
)
def test_options_that_do_not_fit(plain: Model, options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        TensorRtBackend(plain, options=options)


def test_shapes_come_as_lists_or_tuples(plain: Model) -> None:
    for shapes in ([[4, 320]], ((4, 320),), [(4, 320)]):
        assert TensorRtBackend(plain, options={"shapes": shapes}).options.shapes == ((4, 320),)
