"""One contract test for every registered backend: what `ocrhpi.backends.base` promises, each must keep."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ocrhpi.backends.registry import availability, backend_specs, create_backend
from ocrhpi.errors import BackendClosed, BackendError, BatchError, ModelFormatError, OptionError
from ocrhpi.model import Model, load_model
from ocrhpi.testing import StripeBackend
from tests.tiny_model import VOCABULARY, write_config, write_tiny_model
from tests.tiny_onnx import spoil_weights, write_tiny_onnx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ocrhpi.backends.base import Backend
    from ocrhpi.values import Emissions, NetworkInput


def make(name: str, model: Model) -> Backend:
    return StripeBackend(model) if name == StripeBackend.name else create_backend(name, model, "cpu")


@pytest.fixture(scope="module")
def tiny(tiny_both_dir: Path) -> Model:
    return load_model(tiny_both_dir)


@pytest.fixture(scope="module", params=[*backend_specs(), StripeBackend.name])
def name(request: pytest.FixtureRequest) -> str:
    spec = backend_specs().get(request.param)
    if spec and not availability(spec).available:
        pytest.skip(f"{request.param}: {availability(spec).reason}")
    if spec and spec.devices and "cpu" not in spec.devices:
        pytest.skip(f"{request.param} runs on {', '.join(spec.devices)}; it has tests of its own")
    return str(request.param)


@pytest.fixture(scope="module")
def backend(name: str, tiny: Model) -> Iterator[Backend]:
    with make(name, tiny) as backend:
        yield backend


def batch(lines: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (lines, 3, 48, width)).astype(np.float32)


def test_emissions_have_the_promised_form(backend: Backend) -> None:
    for lines, width in [(1, 320), (3, 320), (2, 333), (1, 1280), (5, 64)]:
        emissions = backend.run(batch(lines, width))
        assert emissions.indices.shape == emissions.probs.shape
        assert emissions.indices.shape[0] == lines
        assert emissions.indices.shape[1] >= 1
        assert emissions.indices.dtype == np.int32
        assert emissions.probs.dtype == np.float32
        assert 0 <= emissions.indices.min() <= emissions.indices.max() < len(backend.model.labels)


def test_effective_says_what_runs(backend: Backend) -> None:
    effective = backend.effective
    assert effective.backend == backend.name
    assert effective.device == "cpu"
    assert effective.precision == "fp32"
    assert effective.threads >= 1
    assert effective.engine_version


def test_a_line_reads_the_same_alone_and_in_a_batch(backend: Backend) -> None:
    lines = batch(4, 320)
    together = backend.run(lines)
    for row in range(4):
        alone = backend.run(lines[row : row + 1])
        np.testing.assert_array_equal(alone.indices[0], together.indices[row])
        np.testing.assert_allclose(alone.probs[0], together.probs[row], atol=1e-5)


def test_results_belong_to_the_caller(backend: Backend) -> None:
    first = backend.run(batch(2, 320, seed=1))
    indices, probs = first.indices.copy(), first.probs.copy()
    backend.run(batch(2, 320, seed=2))
    np.testing.assert_array_equal(first.indices, indices)
    np.testing.assert_array_equal(first.probs, probs)
    first.indices[:] = 0
    first.probs[:] = 0
    again = backend.run(batch(2, 320, seed=1))
    np.testing.assert_array_equal(again.indices, indices)


def test_the_batch_is_not_changed_and_need_not_be_contiguous(backend: Backend) -> None:
    wide = batch(2, 640)
    view = wide[..., ::2]
    before = wide.copy()
    strided = backend.run(view)
    np.testing.assert_array_equal(wide, before)
    np.testing.assert_array_equal(strided.indices, backend.run(np.ascontiguousarray(view)).indices)


def test_many_threads_get_the_sequential_results(backend: Backend) -> None:
    batches = [batch(1 + seed % 3, 320 + 16 * (seed % 5), seed) for seed in range(24)]
    sequential = [backend.run(one).indices for one in batches]
    with ThreadPoolExecutor(8) as pool:
        concurrent = list(pool.map(lambda one: backend.run(one).indices, batches))
    for expected, got in zip(sequential, concurrent, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, 3, 48, 320), np.float64),
        np.zeros((1, 3, 48, 320), np.uint8),
        np.zeros((3, 48, 320), np.float32),
        np.zeros((1, 1, 48, 320), np.float32),
        np.zeros((1, 3, 32, 320), np.float32),
        np.zeros((0, 3, 48, 320), np.float32),
        np.zeros((1, 3, 48, 0), np.float32),
        [[0.0]],
    ],
    ids=lambda wrong: f"{getattr(wrong, 'dtype', 'list')}{getattr(wrong, 'shape', '')}",
)
def test_wrong_batches_are_refused_with_received_and_expected(backend: Backend, wrong: np.ndarray) -> None:
    with pytest.raises(BatchError, match=r"received .*, expected float32 of shape \(N, 3, 48, W\)"):
        backend.run(wrong)


def test_widths_are_for_masked_graphs(backend: Backend) -> None:
    assert not backend.masked
    with pytest.raises(BatchError, match="masked=False"):
        backend.run(batch(2, 320), np.array([100, 320], np.int32))


def test_life_cycle(name: str, tiny: Model) -> None:
    backend = make(name, tiny)
    with pytest.raises(BackendClosed, match="call open"):
        backend.run(batch(1, 320))
    with pytest.raises(BackendClosed):
        _ = backend.effective
    with backend:
        with pytest.raises(BackendError, match="is open"):
            backend.open()
        assert backend.run(batch(1, 320)).indices.shape[0] == 1
    backend.close()
    with pytest.raises(BackendClosed, match="stays closed"):
        backend.run(batch(1, 320))


def test_unknown_options_are_refused(name: str, tiny: Model) -> None:
    with pytest.raises(OptionError, match="no_such_option"):
        type(make(name, tiny))(tiny, "cpu", {"no_such_option": 1})


@pytest.mark.parametrize("device", ["cpu:x", "", "gpu:0,1", "cpu 1"])
def test_malformed_devices_are_refused(name: str, tiny: Model, device: str) -> None:
    with pytest.raises(OptionError, match="device"):
        type(make(name, tiny))(tiny, device)


class OfAnotherBatch(StripeBackend):
    def _run(self, batch: NetworkInput, *_: Any) -> Emissions:
        return super()._run(np.concatenate([batch, batch]), None, None, 0.0)


def test_outputs_of_another_batch_are_refused(tiny: Model) -> None:
    with OfAnotherBatch(tiny) as backend, pytest.raises(BackendError, match="received 2 lines and gave 4"):
        backend.run(batch(2, 320))


SHORT_OF_MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from ocrhpi.backends.registry import create_backend
from ocrhpi.errors import BackendError
from ocrhpi.model import load_model

def batch(lines, width):
    return np.random.default_rng(0).uniform(-1, 1, (lines, 3, 48, width)).astype(np.float32)

with create_backend(sys.argv[1], load_model(Path(sys.argv[2])), "cpu", {"threads": 2}) as backend:
    small, large = batch(1, 320), batch(16, 3200)
    expected = backend.run(small)
    for more in (20, 60, 150):
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + (more << 20), resource.RLIM_INFINITY))
        try:
            backend.run(large)
        except BackendError as error:
            print(error)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        found = backend.run(small)
        np.testing.assert_array_equal(found.indices, expected.indices)
        np.testing.assert_allclose(found.probs, expected.probs, atol=1e-5)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of memory, and the size of the process")
@pytest.mark.parametrize(
    ("engine", "directory"),
    [("paddle", "v4_mobile_dir"), ("onnxruntime", "v6_small_dir"), ("openvino", "v6_small_dir")],
)
def test_an_engine_that_ran_out_of_memory_reads_on(engine: str, directory: str, request: pytest.FixtureRequest) -> None:
    if not availability(backend_specs()[engine]).available:
        pytest.skip(f"{engine} is not installed")
    model = str(request.getfixturevalue(directory))
    command = [sys.executable, "-c", SHORT_OF_MEMORY, engine, model]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("could not run a batch of shape (16, 3, 48, 3200)") >= 2, "else it proves nothing"


@pytest.fixture(scope="module")
def broken(tiny_both_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Networks whose last layer has no numbers for weights."""
    directory = shutil.copytree(tiny_both_dir, tmp_path_factory.mktemp("models") / "broken")
    parameters = directory / "inference.pdiparams"
    weights = np.full(8 * (len(VOCABULARY) + 2), np.nan, np.float32).tobytes()  # those of the last tensor
    parameters.write_bytes(parameters.read_bytes()[: -len(weights)] + weights)
    spoil_weights(directory / "inference.onnx")
    return load_model(directory)


def test_probabilities_that_are_no_numbers_are_an_error_that_names_the_model(name: str, broken: Model) -> None:
    if name == StripeBackend.name:
        pytest.skip("the fake has no weights")
    problem = f"the network of {broken.path} gives probabilities that are no numbers .NaN.: its weights are damaged"
    with make(name, broken) as backend, pytest.raises(BackendError, match=f"{name}.*{problem}"):
        backend.run(batch(2, 320))


def test_vocabulary_of_another_model_is_refused(name: str, tmp_path: Path) -> None:
    if name == StripeBackend.name:
        pytest.skip("the fake has no network whose classes could differ")
    directory = write_tiny_model(tmp_path / "other")
    write_tiny_onnx(directory / "inference.onnx")
    write_config(directory, PostProcess={"name": "CTCLabelDecode", "character_dict": ["a", "b"]})
    with (
        pytest.raises(ModelFormatError, match="do not belong together"),
        make(name, load_model(directory)) as backend,
    ):
        backend.run(batch(1, 320))
