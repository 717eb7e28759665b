"""Running by recorded graphs and without, on ONNX Runtime's real buffers and bindings, in the CPU's memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ocrhpi.backends.onnxruntime_ import OnnxRuntimeBackend
from ocrhpi.backends.ort import running
from ocrhpi.backends.ort.libraries import PageLocked
from tests.backends.ort.fake_driver import FakeDriver
from tests.tiny_onnx import Head, tiny_onnx_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ocrhpi.values import Emissions, Tensor, Widths
    from tests.backends.ort.fake_onnxruntime import FakeOnnxRuntime

SHAPES = [(4, 320), (2, 640)]
GRAPHS = {"provider": "cuda", "cuda_graphs": True, "shapes": SHAPES}


def batch(lines: int, width: int, seed: int = 0) -> tuple[Tensor, Widths]:
    rng = np.random.default_rng(seed)
    lines_of = rng.uniform(-1, 1, (lines, 3, 48, width)).astype(np.float32)
    return lines_of, rng.integers(width // 2, width + 1, lines).astype(np.int32)


def check_equal(got: Emissions, expected: Emissions) -> None:
    np.testing.assert_array_equal(got.indices, expected.indices)
    np.testing.assert_array_equal(got.probs, expected.probs)
    np.testing.assert_array_equal(got.steps, expected.steps)


@pytest.mark.parametrize("head", ["full", "argmax", "topk"])
def test_recorded_graphs_read_what_sessions_read(
    gpu: Callable[..., FakeOnnxRuntime], tmp_path: Path, head: Head
) -> None:
    model = tiny_onnx_model(tmp_path, head=head, masked=True)
    fake = gpu()
    with OnnxRuntimeBackend(model, "gpu:1", GRAPHS) as graphs, OnnxRuntimeBackend(model, "gpu:1") as plain:
        warm = list(fake.replays)
        assert [shape for _, shape in warm] == [
            (rows, 3, 48, width) for rows, width in [(4, 320), (2, 320), (1, 320), (2, 640), (1, 640)]
        ]
        for seed in range(2):
            for lines, width in [(4, 320), (1, 640), (2, 640), (1, 320)]:
                arguments = batch(lines, width, seed)
                check_equal(graphs.run(*arguments), plain.run(*arguments))
        assert len(fake.replays) == len(warm) + 8
        assert len({number for number, _ in fake.replays}) == 5


def test_other_shapes_run_without_a_graph(gpu: Callable[..., FakeOnnxRuntime], tmp_path: Path) -> None:
    model = tiny_onnx_model(tmp_path, head="argmax", masked=True)
    fake = gpu()
    with OnnxRuntimeBackend(model, "gpu", GRAPHS) as graphs, OnnxRuntimeBackend(model, "gpu") as plain:
        warm = len(fake.replays)
        for lines, width in [(3, 320), (8, 320), (1, 480)]:
            arguments = batch(lines, width)
            check_equal(graphs.run(*arguments), plain.run(*arguments))
        assert len(fake.replays) == warm


def test_results_of_many_threads_belong_to_their_callers(gpu: Callable[..., FakeOnnxRuntime], tmp_path: Path) -> None:
    model = tiny_onnx_model(tmp_path, head="argmax", masked=True)
    gpu()
    batches = [batch(1 << seed % 3, 320, seed) for seed in range(30)]
    with OnnxRuntimeBackend(model, "gpu", GRAPHS) as backend:
        sequential = [backend.run(*one) for one in batches]
        with ThreadPoolExecutor(6) as pool:
            concurrent = list(pool.map(lambda one: backend.run(*one), batches))
    for got, expected in zip(concurrent, sequential, strict=True):
        check_equal(got, expected)


def test_inputs_may_take_the_way_over_page_locked_memory(
    gpu: Callable[..., FakeOnnxRuntime], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_onnx_model(tmp_path, head="argmax", masked=True)
    gpu()
    driver = FakeDriver((("NVIDIA Fake", (8, 9)),))
    monkeypatch.setattr("ocrhpi.backends.ort.libraries.load_driver", lambda: driver)
    made: list[PageLocked] = []

    def lock(*arguments: Any) -> PageLocked:
        made.append(PageLocked(*arguments))
        return made[-1]

    monkeypatch.setattr(running, "PageLocked", lock)
    with (
        OnnxRuntimeBackend(model, "gpu", {**GRAPHS, "pinned": True}) as pinned,
        OnnxRuntimeBackend(model, "gpu") as plain,
    ):
        assert len(made) == 5
        assert len(driver.locked) == 10
        arguments = batch(4, 320)
        check_equal(pinned.run(*arguments), plain.run(*arguments))
    assert driver.locked == {}


def test_shapes_that_time_does_not_reach_are_a_note(gpu: Callable[..., FakeOnnxRuntime], tmp_path: Path) -> None:
    gpu()
    model = tiny_onnx_model(tmp_path, head="argmax", masked=True)
    with OnnxRuntimeBackend(model, "gpu", {**GRAPHS, "warm_up_s": 0.0}) as backend:
        assert backend.effective.notes == ("4 of the fixed shapes were not run within 0 s of warm-up",)
        assert backend.run(*batch(2, 640)).indices.shape[0] == 2


@pytest.mark.parametrize("options", [{}, GRAPHS], ids=["session", "graphs"])
def test_time_on_the_device_alone(gpu: Callable[..., FakeOnnxRuntime], tmp_path: Path, options: dict[str, Any]) -> None:
    gpu()
    model = tiny_onnx_model(tmp_path, head="argmax", masked=True)
    with OnnxRuntimeBackend(model, "gpu", options) as backend:
        for rows, width in [(4, 320), (3, 480)]:
            times = backend.device_ms(rows, width, 3)
            assert len(times) == 3
            assert all(0 < ms < 1000 for ms in times)
