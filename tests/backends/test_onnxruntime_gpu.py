"""ONNX Runtime on a real NVIDIA GPU, with every provider that is installed; elsewhere these tests skip and say why."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ocrhpi.backends.gpu import gpu_reason
from ocrhpi.backends.onnxruntime_ import OnnxRuntimeBackend
from ocrhpi.errors import BatchError
from tests.tiny_onnx import tiny_onnx_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ocrhpi.model import Model
    from ocrhpi.values import Emissions, Tensor, Widths

pytest.importorskip("onnxruntime")

SHAPES = [(4, 320), (2, 640)]
RUNS = [(4, 320), (1, 640), (2, 640), (1, 320), (2, 320)]
CUDA: dict[str, Any] = {"provider": "cuda"}
RTX: dict[str, Any] = {"provider": "tensorrt-rtx"}
GRAPHS: dict[str, Any] = {"cuda_graphs": True, "shapes": SHAPES}
WAYS: dict[str, dict[str, Any]] = {
    "cuda": CUDA,
    "cuda default": {**CUDA, "conv_search": "default"},
    "cuda exhaustive": {**CUDA, "conv_search": "exhaustive", "conv_workspace": False},
    "cuda nhwc": {**CUDA, "nhwc": True},
    "cuda bounded": {**CUDA, "gpu_memory_mib": 1024, "gpu_arena_growth": "as_requested"},
    "cuda requests": {**CUDA, "requests": 3},
    "cuda graphs": {**CUDA, **GRAPHS},
    "cuda graphs pinned": {**CUDA, **GRAPHS, "pinned": True},
    "tensorrt-rtx": RTX,
    "tensorrt-rtx shapes": {**RTX, "shapes": SHAPES},
    "tensorrt-rtx graphs": {**RTX, **GRAPHS},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_onnx_model(tmp_path_factory.mktemp("models") / "tiny", head="argmax", masked=True)


@pytest.fixture(params=WAYS)
def options(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(tmp_path))
    return usable(WAYS[request.param])


def usable(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options, if their provider can run here."""
    reason = gpu_reason("onnxruntime", options, "gpu:0")
    if reason:
        pytest.skip(reason)
    return options


def batch(lines: int, width: int, seed: int = 0) -> tuple[Tensor, Widths]:
    rng = np.random.default_rng(seed)
    lines_of = rng.uniform(-1, 1, (lines, 3, 48, width)).astype(np.float32)
    return lines_of, rng.integers(width // 2, width + 1, lines).astype(np.int32)


def on_cpu(model: Model, batches: Sequence[tuple[Tensor, Widths]]) -> list[Emissions]:
    with OnnxRuntimeBackend(model, "cpu") as backend:
        return [backend.run(*one) for one in batches]


def check_near(got: Emissions, expected: Emissions) -> None:
    assert expected.steps is not None
    np.testing.assert_array_equal(got.steps, expected.steps)
    for row, steps in enumerate(expected.steps):
        np.testing.assert_allclose(got.probs[row, :steps], expected.probs[row, :steps], atol=1e-4)
        # TF32 would move probabilities by about 1e-3, and with them many classes.
        np.testing.assert_array_equal(got.indices[row, :steps], expected.indices[row, :steps])


def test_every_way_reads_what_the_cpu_reads_and_says_what_it_is(model: Model, options: dict[str, Any]) -> None:
    batches = [batch(*shape, seed) for seed in range(3) for shape in RUNS]
    expected = on_cpu(model, batches)
    with OnnxRuntimeBackend(model, "gpu:0", options) as backend:
        for one, emissions in zip(batches, expected, strict=True):
            check_near(backend.run(*one), emissions)
        effective = backend.effective
    assert (effective.device, effective.precision, effective.threads) == ("gpu:0", "fp32", 0)
    assert effective.settings["provider"] == options["provider"]
    assert effective.settings["gpu"]
    assert effective.settings["compute_capability"]
    assert sum(count for name, count in effective.settings["nodes"].items() if name != "CPUExecutionProvider") > 0


def test_many_threads_get_their_own_results(model: Model, options: dict[str, Any]) -> None:
    batches = [batch(*RUNS[seed % len(RUNS)], seed) for seed in range(20)]
    with OnnxRuntimeBackend(model, "gpu:0", options) as backend:
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda one: backend.run(*one), batches))
        for one, emissions in zip(batches, got, strict=True):
            check_near(backend.run(*one), emissions)


def test_the_engine_without_copies_is_timed(model: Model, options: dict[str, Any]) -> None:
    with OnnxRuntimeBackend(model, "gpu:0", options) as backend:
        times = backend.device_ms(2, 320, 5)
        assert len(times) == 5
        assert all(0 < ms < 1000 for ms in times)


def test_other_shapes_run_by_cuda_without_a_graph(model: Model) -> None:
    options = usable(WAYS["cuda graphs"])
    batches = [batch(3, 320), batch(8, 400), batch(1, 1600)]
    expected = on_cpu(model, batches)
    with OnnxRuntimeBackend(model, "gpu:0", options) as backend:
        for one, emissions in zip(batches, expected, strict=True):
            check_near(backend.run(*one), emissions)


@pytest.mark.parametrize("provider", ["tensorrt-rtx"])
def test_what_was_compiled_is_kept_and_other_shapes_are_refused(
    model: Model, provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(tmp_path))
    options = usable({"provider": provider, "shapes": SHAPES})
    for _ in range(2):
        with OnnxRuntimeBackend(model, "gpu:0", options) as backend, pytest.raises(BatchError, match="was built for"):
            backend.run(*batch(5, 320))
    (directory,) = (tmp_path / "engines").iterdir()
    assert [file for file in directory.iterdir() if file.name not in {"key.json", ".lock"}]


def test_the_second_gpu_is_another_device(model: Model) -> None:
    reason = gpu_reason("onnxruntime", CUDA, "gpu:1")
    if reason:
        pytest.skip(reason)
    with OnnxRuntimeBackend(model, "gpu:1", CUDA) as backend:
        assert backend.effective.device == "gpu:1"
