"""The real TensorRT on a real GPU; skips with a reason without one. Engines are kept in pytest's cache."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ocrhpi.assembly import open_reader
from ocrhpi.backends.onnxruntime_ import OnnxRuntimeBackend
from ocrhpi.backends.registry import availability, backend_specs
from ocrhpi.backends.tensorrt_ import TensorRtBackend, _import_tensorrt
from ocrhpi.backends.trt.execution import import_cuda_runtime
from ocrhpi.backends.trt.gpu import open_gpu
from ocrhpi.backends.trt.names import version_of
from ocrhpi.config.candidate import Candidate
from ocrhpi.errors import BackendError, BackendMismatch, BackendUnavailable, BatchError
from ocrhpi.recognition.inputs import read_lines
from ocrhpi.values import LineImage
from tests.backends.trt.tiny_graphs import half_model, pixel_model
from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.label_file import Label
    from ocrhpi.model import Model
    from ocrhpi.values import Emissions


def _reason_against() -> str:
    """Say why the GPU cannot be used here; empty if it can."""
    state = availability(backend_specs()["tensorrt"])
    if not state.available:
        return f"TensorRT: {state.reason}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, cuda = _import_tensorrt()
        open_gpu(cuda, None)
    except BackendUnavailable as error:
        return str(error)
    return ""


REASON = _reason_against()
pytestmark = [
    pytest.mark.skipif(bool(REASON), reason=REASON),
    pytest.mark.filterwarnings("default:::tensorrt", "default:::pycuda"),
]

SHAPES = [[4, 320], [2, 640]]
OPTIONS: dict[str, Any] = {"shapes": SHAPES, "optimization_level": 0}


def has_cuda_bindings() -> bool:
    try:
        import_cuda_runtime()
    except ImportError:
        return False
    return True


needs_cuda_bindings = pytest.mark.skipif(not has_cuda_bindings(), reason="cuda-bindings is not installed")


@pytest.fixture(scope="module", autouse=True)
def engines(pytestconfig: pytest.Config) -> Iterator[Path]:
    assert pytestconfig.cache is not None
    folder = Path(pytestconfig.cache.mkdir("tensorrt-engines"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCRHPI_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_onnx_model(tmp_path_factory.mktemp("models") / "plain", head="argmax")


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_onnx_model(tmp_path_factory.mktemp("models") / "masked", head="argmax", masked=True)


def batch(lines: int, width: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(-1, 1, (lines, 3, 48, width)).astype(np.float32)


def assert_close(got: Emissions, expected: Emissions, tolerance: float = 1e-4) -> None:
    """Compare up to rounding: where two classes are nearly as probable, either may win."""
    np.testing.assert_allclose(got.probs, expected.probs, atol=tolerance)
    assert (got.indices == expected.indices).mean() > 0.99
    if expected.steps is not None:
        np.testing.assert_array_equal(got.steps, expected.steps)


@pytest.mark.parametrize("head", ["full", "argmax", "topk"])
def test_it_reads_what_onnxruntime_reads(head: Any, tmp_path: Path) -> None:
    model = tiny_onnx_model(tmp_path / "tiny", head=head)
    with OnnxRuntimeBackend(model, "cpu") as reference, TensorRtBackend(model, "gpu:0", OPTIONS) as backend:
        for lines, width in [(1, 320), (4, 320), (2, 640), (9, 320)]:
            assert_close(backend.run(batch(lines, width)), reference.run(batch(lines, width)))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_layers_run_in_the_precision_asked_for(precision: str, plain: Model, tmp_path: Path) -> None:
    model = half_model(tmp_path) if precision == "fp16" else plain
    options = {**OPTIONS, "precision": precision}
    with OnnxRuntimeBackend(plain, "cpu") as reference, TensorRtBackend(model, "gpu:0", options) as backend:
        assert backend.effective.precision == precision
        assert backend.effective.notes == ()
        assert (backend.effective.settings["layers"].get("fp16", 0) > 0) == (precision == "fp16")
        tolerance = 1e-4 if precision == "fp32" else 2e-2
        np.testing.assert_allclose(backend.run(batch(4, 320)).probs, reference.run(batch(4, 320)).probs, atol=tolerance)


@pytest.mark.parametrize("with_widths", [False, True])
def test_pixels_are_normalised_in_the_graph(tmp_path: Path, with_widths: bool) -> None:
    model = pixel_model(tmp_path, masked=with_widths)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 48, 320, 3), np.uint8)
    contents = np.array([320, 7, 100], np.int32)
    widths = np.array([320, 80, 160], np.int32) if with_widths else None
    with OnnxRuntimeBackend(model, "cpu") as reference, TensorRtBackend(model, "gpu:0", OPTIONS) as backend:
        assert_close(backend.run(pixels, widths, contents), reference.run(pixels, widths, contents))


def test_a_masked_batch_is_padded_into_the_next_bucket(masked: Model) -> None:
    lines, widths = batch(3, 336), np.array([336, 100, 8], np.int32)
    with OnnxRuntimeBackend(masked, "cpu") as reference, TensorRtBackend(masked, "gpu:0", OPTIONS) as backend:
        expected, got = reference.run(lines, widths), backend.run(lines, widths)
        np.testing.assert_array_equal(got.steps, expected.steps)
        np.testing.assert_array_equal(got.indices[:, : expected.indices.shape[1]], expected.indices)


def test_an_engine_is_built_once(plain: Model, engines: Path) -> None:
    with TensorRtBackend(plain, "gpu:0", OPTIONS):
        pass
    with TensorRtBackend(plain, "gpu:0", OPTIONS) as backend:
        assert backend.effective.settings["engine"] == "cached"
    assert list(engines.rglob("*.engine"))
    assert list(engines.rglob("timings.cache"))


def test_a_damaged_engine_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(tmp_path / "cache"))
    model = tiny_onnx_model(tmp_path / "tiny", head="argmax")
    with TensorRtBackend(model, "gpu:0", OPTIONS):
        pass
    (engine,) = tmp_path.rglob("*.engine")
    engine.write_bytes(engine.read_bytes()[:-100])
    with TensorRtBackend(model, "gpu:0", OPTIONS) as backend:
        assert backend.effective.settings["engine"] == "built"
        backend.run(batch(1, 320))


@pytest.mark.parametrize(
    "options", [{"requests": 3}, pytest.param({"requests": 2, "cuda_graphs": True}, marks=needs_cuda_bindings)], ids=str
)
def test_many_threads_get_the_sequential_results(plain: Model, options: dict[str, Any]) -> None:
    batches = [batch(1 + seed % 4, 320 + 320 * (seed % 2), seed) for seed in range(48)]
    with (
        TensorRtBackend(plain, "gpu:0", OPTIONS) as single,
        TensorRtBackend(plain, "gpu:0", OPTIONS | options) as backend,
    ):
        sequential = [single.run(one) for one in batches]
        with ThreadPoolExecutor(8) as pool:
            concurrent = list(pool.map(backend.run, batches))
        for got, expected in zip(concurrent, sequential, strict=True):
            np.testing.assert_array_equal(got.indices, expected.indices)
            np.testing.assert_allclose(got.probs, expected.probs, atol=1e-6)
        assert backend.effective.notes == ()


@needs_cuda_bindings
def test_graphs_of_several_shapes_in_turn_do_not_disturb_each_other(masked: Model) -> None:
    options = {**OPTIONS, "cuda_graphs": True}
    with OnnxRuntimeBackend(masked, "cpu") as reference, TensorRtBackend(masked, "gpu:0", options) as backend:
        for seed in range(4):
            for lines, width in [(1, 320), (3, 320), (1, 640), (2, 640)]:
                widths = np.random.default_rng(seed).integers(8, width, lines).astype(np.int32)
                one = batch(lines, width, seed)
                assert_close(backend.run(one, widths), reference.run(one, widths))
        assert backend.effective.notes == ()


def test_results_belong_to_the_caller_and_batches_need_not_be_contiguous(plain: Model) -> None:
    with TensorRtBackend(plain, "gpu:0", OPTIONS) as backend:
        first = backend.run(batch(2, 640)[..., ::2])
        indices = first.indices.copy()
        backend.run(batch(2, 320, seed=2))
        np.testing.assert_array_equal(first.indices, indices)


def test_closing_gives_the_memory_back(plain: Model) -> None:
    _, cuda = _import_tensorrt()
    with TensorRtBackend(plain, "gpu:0", OPTIONS) as backend:
        backend.run(batch(1, 320))
    with open_gpu(cuda, None).current():
        before, _ = cuda.mem_get_info()
    for _ in range(3):
        with TensorRtBackend(plain, "gpu:0", OPTIONS) as backend:
            backend.run(batch(1, 320))
    with open_gpu(cuda, None).current():
        after, _ = cuda.mem_get_info()
    assert before - after < 16 << 20


def test_the_kernels_alone_take_less_than_the_whole_run(plain: Model) -> None:
    with TensorRtBackend(plain, "gpu:0", OPTIONS) as backend:
        times = backend.device_ms(4, 320, 20)
        assert len(times) == 20
        assert 0 < min(times) < 1000


def test_what_cannot_run_is_refused(plain: Model, tmp_path: Path) -> None:
    with TensorRtBackend(plain, "gpu:0", OPTIONS) as backend, pytest.raises(BatchError, match="333 pixels wide"):
        backend.run(batch(1, 333))
    with pytest.raises(BackendMismatch, match="asked for device gpu:99"):
        TensorRtBackend(plain, "gpu:99").open()
    with pytest.raises(BackendMismatch, match="asked for device cpu"):
        TensorRtBackend(plain, "cpu").open()
    with pytest.raises(BackendMismatch, match=r"asked for precision fp16, but the graph .* is fp32"):
        TensorRtBackend(plain, "gpu:0", {"precision": "fp16"}).open()
    unknown = tiny_onnx_model(tmp_path / "unknown")
    assert unknown.files.onnx is not None
    unknown.files.onnx.write_bytes(unknown.files.onnx.read_bytes().replace(b"Softmax", b"Softmux"))
    with pytest.raises(BackendError, match=r"TensorRT cannot parse .*inference\.onnx: \w+"):
        TensorRtBackend(unknown, "gpu:0", OPTIONS).open()


def test_a_build_stops_at_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trt, _ = _import_tensorrt()
    if version_of(trt) < (10, 0):
        pytest.skip("TensorRT before 10 cannot be stopped")
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(tmp_path / "cache"))
    model = tiny_onnx_model(tmp_path / "tiny", head="argmax")
    with pytest.raises(BackendError, match=r"stopped after build_seconds=0\.001"):
        TensorRtBackend(model, "gpu:0", {**OPTIONS, "build_seconds": 0.001}).open()


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_real_model_reads_the_reference_texts(
    v4_mobile: Model, lines_dir: Path, labels: dict[str, Label], precision: str, pixels: bool
) -> None:
    candidate = Candidate(
        backend="tensorrt",
        device="gpu:0",
        batching="masked",
        buckets=(320, 640, 1280),
        batch_size=8,
        pixels=pixels,
        options={"precision": precision, "optimization_level": 1},
    )
    paths = sorted(lines_dir / name for name in labels)
    lines = [line for line in read_lines([str(path) for path in paths]) if isinstance(line, LineImage)]
    with open_reader(v4_mobile, candidate) as reader:
        texts = [line.text for line in reader.read(lines)]
    same = sum(text == labels[path.name].text for text, path in zip(texts, paths, strict=True))
    # Some of the lines are in scripts that the model does not know, where FP16 decides otherwise.
    assert same >= len(paths) - (0 if precision == "fp32" else 6)
