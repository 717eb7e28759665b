"""What the engines that run ONNX must agree on, and the recognition of a graph's interface."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ocrhpi.backends.onnx_io import GraphInterface
from ocrhpi.backends.registry import availability, backend_specs, create_backend
from ocrhpi.errors import BackendError, BatchError, ModelFormatError, ModelNotFound
from ocrhpi.model import load_model
from ocrhpi.values import Emissions
from tests.tiny_onnx import STRIDE, Head, tiny_onnx_model

if TYPE_CHECKING:
    import numpy.typing as npt

    from ocrhpi.values import Tensor

ENGINES = ("openvino", "onnxruntime")
HEADS: tuple[Head, ...] = ("full", "argmax", "argmax64", "topk")
WIDTHS = np.array([336, 100, 8, 1], np.int32)


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    state = availability(backend_specs()[request.param])
    if not state.available:
        pytest.skip(state.reason)
    return str(request.param)


def batch(lines: int, width: int, seed: int = 0) -> Tensor:
    return np.random.default_rng(seed).uniform(-1, 1, (lines, 3, 48, width)).astype(np.float32)


@pytest.mark.parametrize("head", HEADS)
def test_every_head_reads_the_same(engine: str, head: Head, tmp_path: Path) -> None:
    full, other = tiny_onnx_model(tmp_path / "full"), tiny_onnx_model(tmp_path / "other", head=head)
    with create_backend(engine, full, "cpu") as reference, create_backend(engine, other, "cpu") as backend:
        for lines, width in [(1, 320), (3, 333), (2, 1280)]:
            expected, got = reference.run(batch(lines, width)), backend.run(batch(lines, width))
            np.testing.assert_array_equal(got.indices, expected.indices)
            np.testing.assert_allclose(got.probs, expected.probs, atol=1e-5)
            assert got.indices.dtype == np.int32
            assert got.probs.dtype == np.float32


@pytest.mark.parametrize("head", HEADS)
def test_a_masked_graph_reads_each_line_as_if_alone(engine: str, head: Head, tmp_path: Path) -> None:
    plain = tiny_onnx_model(tmp_path / "plain")
    masked = tiny_onnx_model(tmp_path / "masked", head=head, masked=True)
    lines = batch(4, 336)
    with create_backend(engine, plain, "cpu") as reference, create_backend(engine, masked, "cpu") as backend:
        assert backend.masked
        together = backend.run(lines, WIDTHS)
        for row, width in enumerate(WIDTHS):
            steps = -(-int(width) // STRIDE)
            alone = lines[row : row + 1, ..., : steps * STRIDE].copy()
            alone[..., width:] = 0
            np.testing.assert_array_equal(together.indices[row, :steps], reference.run(alone).indices[0])
            assert not together.indices[row, steps:].any()
        with pytest.raises(BatchError, match="masked=True"):
            backend.run(lines)


def test_results_of_many_requests_in_flight_belong_to_their_callers(engine: str, tmp_path: Path) -> None:
    batches = [batch(1 + seed % 3, 320 + 16 * (seed % 5), seed) for seed in range(40)]
    for model in (tiny_onnx_model(tmp_path / "full"), tiny_onnx_model(tmp_path / "topk", head="topk")):
        with create_backend(engine, model, "cpu", {"requests": 3}) as backend:
            assert backend.parallel_requests == 3
            sequential = [backend.run(one) for one in batches]
            with ThreadPoolExecutor(8) as pool:
                concurrent = list(pool.map(backend.run, batches))
        for expected, got in zip(sequential, concurrent, strict=True):
            np.testing.assert_array_equal(got.indices, expected.indices)
            np.testing.assert_array_equal(got.probs, expected.probs)


def test_a_model_without_onnx_is_told_how_to_get_it(engine: str, tiny_dir: Path) -> None:
    with pytest.raises(ModelNotFound, match=rf"inference\.onnx: not found; .*ocrhpi export {tiny_dir}"):
        create_backend(engine, load_model(tiny_dir), "cpu").open()


@pytest.mark.parametrize("damage", ["web page", "empty", "truncated", "other operator"])
def test_a_damaged_file_is_an_error_that_names_it_and_prints_nothing(
    engine: str, damage: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = tiny_onnx_model(tmp_path / "model")
    file = tmp_path / "model" / "inference.onnx"
    content = file.read_bytes()
    changed = {
        "web page": b"<html>not found</html>",
        "empty": b"",
        "truncated": content[: len(content) // 2],
        "other operator": content.replace(b"Softmax", b"Sofamax"),
    }
    file.write_bytes(changed[damage])
    with pytest.raises(BackendError, match=str(file)):
        create_backend(engine, model, "cpu").open()
    assert capfd.readouterr() == ("", "")


def test_opening_and_running_print_nothing(engine: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with create_backend(engine, tiny_onnx_model(tmp_path, masked=True), "cpu") as backend:
        backend.run(batch(4, 336), WIDTHS)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("inputs", "outputs", "problem"),
    [
        ([{"x"}, {"lengths"}], [{"y"}], "inputs: received 'x', 'lengths'"),
        ([{"x"}, {"widths"}, {"z"}], [{"y"}, {"steps"}], "inputs: received"),
        ([], [{"y"}], "inputs: received none"),
        ([{"x"}], [{"y"}, {"z"}], "outputs: received 'y', 'z'; expected 'indices' and 'probs'"),
        ([{"x"}], [{"indices"}], "outputs: received 'indices'"),
        ([{"x"}], [{"indices"}, {"probs"}, {"y"}], "outputs: received"),
        ([{"x"}], [{"y"}, {"steps"}], "outputs: received"),
        ([{"x"}, {"widths"}], [{"y"}], "and 'steps' since the graph takes 'widths'"),
    ],
)
def test_other_interfaces_are_refused(inputs: list[set[str]], outputs: list[set[str]], problem: str) -> None:
    with pytest.raises(ModelFormatError, match=problem):
        GraphInterface.read(Path("m.onnx"), inputs, outputs)


def test_outputs_are_found_by_name_in_any_order() -> None:
    interface = GraphInterface.read(Path("m.onnx"), [{"x"}, {"w", "widths"}], [{"steps"}, {"probs"}, {"a", "indices"}])
    outputs: list[npt.NDArray[np.generic]] = [
        np.array([1, 2], np.int32),
        np.full((2, 2), 0.5, np.float32),
        np.full((2, 2), 7, np.int64),
    ]
    emissions = interface.emissions(outputs, Emissions.from_probabilities)
    np.testing.assert_array_equal(emissions.indices, [[7, 0], [7, 7]])
    assert not any(np.shares_memory(emissions.probs, output) for output in outputs)
