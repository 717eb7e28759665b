"""The reference models have the published sizes, and their small relatives are fit to test engines with."""

from __future__ import annotations

import itertools
import math
import re
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner

from ocrhpi.model import load_model

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import paddle

    from benchmarks.reference_models.__main__ import main
    from benchmarks.reference_models.blocks import Attention
    from benchmarks.reference_models.dictionaries import DictionaryError, read_dictionary
    from benchmarks.reference_models.export import write_small_model
    from benchmarks.reference_models.families import FAMILIES, Recogniser, build
    from benchmarks.reference_models.models import MODELS
    from benchmarks.reference_models.weights import line_images

SMALL_CLASSES = 28
# What a graph holds beside its operators; the published counts leave it out too, but for the fetch.
BESIDE = {"builtin.parameter", "pd_op.full", "pd_op.full_int_array", "builtin.combine", "pd_op.assign", "pd_op.fetch"}


@dataclass(frozen=True)
class Published:
    """Size of a published inference graph; ``macs`` are multiply-adds of an image 48 high and 320 wide."""

    model: str
    parameters: int
    macs: int
    operators: int


PUBLISHED = {
    "v3-mobile": Published("PP-OCRv3_mobile_rec", 2_652_257, 656_847_360, 182),
    "v4-mobile": Published("PP-OCRv5_mobile_rec", 4_113_181, 758_917_440, 327),
    "v4-server": Published("PP-OCRv4_server_rec_doc", 23_701_335, 10_185_048_384, 239),
    "v5-server": Published("PP-OCRv5_server_rec", 21_094_553, 5_883_023_040, 306),
    "svtrv2": Published("ch_SVTRv2_rec", 20_985_697, 7_394_273_280, 520),
    "repsvtr": Published("ch_RepSVTR_rec", 6_314_201, 1_231_698_432, 310),
}


def time_steps(width: int) -> int:
    return math.ceil(width / 4) // 2


def predictor_of(directory: Path) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
    """An exported model in Paddle Inference."""
    from paddle import inference

    config = inference.Config(str(directory / "inference.json"), str(directory / "inference.pdiparams"))
    config.disable_glog_info()
    config.disable_gpu()
    config.set_cpu_math_library_num_threads(1)
    predictor = inference.create_predictor(config)
    (entry,) = predictor.get_input_names()
    assert entry == "x"

    def run(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        predictor.get_input_handle(entry).copy_from_cpu(images)
        predictor.run()
        (result,) = predictor.get_output_names()
        output: npt.NDArray[np.float32] = predictor.get_output_handle(result).copy_to_cpu()
        return output

    return run


@pytest.fixture(scope="module", params=list(FAMILIES))
def small_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(request.param, tmp_path_factory.mktemp("small") / request.param)


def test_a_small_model_loads_and_gives_probabilities_that_depend_on_the_image(small_dir: Path) -> None:
    model = load_model(small_dir)
    assert len(model.labels) == SMALL_CLASSES
    assert model.hpi["backend_configs"]["tensorrt"]["dynamic_shapes"]["x"][2] == [8, 3, 48, 3200]
    run = predictor_of(small_dir)
    for count, width in ((1, 5), (2, 97), (2, 333), (4, 320)):
        images = line_images(count, width, seed=1)
        output = run(images)
        assert output.shape == (count, time_steps(width), SMALL_CLASSES)
        assert np.isfinite(output).all()
        np.testing.assert_allclose(output.sum(axis=2), 1.0, atol=1e-5)
    best = output.argmax(axis=2)
    assert len(np.unique(best)) >= 10
    assert all((one != other).mean() > 0.3 for one, other in itertools.pairwise(best))
    assert 0.5 < output.max(axis=2).mean() < 0.97
    assert (output.max(axis=2) > 0.3).mean() > 0.9
    # Engines round differently; a model that magnifies that would fail a comparison of engines.
    assert np.abs(run(images * np.float32(1 + 1e-6)) - output).max() < 5e-4
    assert (small_dir / "inference.pdiparams").stat().st_size < 2_000_000


def test_a_small_model_is_the_same_every_time(tmp_path: Path) -> None:
    one, other = (write_small_model("v4-mobile", tmp_path / folder) for folder in ("one", "other"))
    parameters = (one / "inference.pdiparams").read_bytes()
    assert parameters == (other / "inference.pdiparams").read_bytes()


@pytest.fixture(scope="module", params=list(FAMILIES))
def full(request: pytest.FixtureRequest) -> tuple[Published, Recogniser]:
    """What was published about one model of a family, and our network of it."""
    published = PUBLISHED[request.param]
    model = MODELS[published.model]
    assert model.family == request.param
    return published, build(model.family, scale="full", classes=model.classes)


def test_a_family_has_the_published_size(full: tuple[Published, Recogniser]) -> None:
    published, network = full
    assert sum(math.prod(tensor.shape) for tensor in network.state_dict().values()) == published.parameters
    macs, shape = run_counted(network, width=320)
    assert macs == published.macs
    assert shape == [1, time_steps(320), MODELS[published.model].classes]


def test_a_family_has_the_published_operators_and_its_small_relative_the_same_kinds(
    full: tuple[Published, Recogniser],
) -> None:
    published, network = full
    found = operators(network)
    assert sum(found.values()) == published.operators
    assert set(operators(build(MODELS[published.model].family))) == set(found)


def run_counted(network: Any, width: int) -> tuple[int, list[int]]:
    """Multiply-adds of convolutions, linear layers and attention products of one image; shape of the output."""
    total = 0

    def count(layer: Any, inputs: tuple[Any], output: Any) -> None:
        nonlocal total
        if isinstance(layer, paddle.nn.Conv2D):
            total += math.prod(output.shape) * math.prod(layer.weight.shape[1:])
        elif isinstance(layer, paddle.nn.Linear):
            total += math.prod(output.shape) * layer.weight.shape[0]
        elif isinstance(layer, Attention):
            total += 2 * math.prod(inputs[0].shape) * inputs[0].shape[1]

    hooks = [layer.register_forward_post_hook(count) for layer in network.sublayers()]
    with paddle.no_grad():
        output = network(paddle.zeros([1, 3, 48, width]))
    for hook in hooks:
        hook.remove()
    return total, list(output.shape)


def operators(network: Any) -> Counter[str]:
    """How often each operator stands in the graph that would be saved."""
    image = paddle.static.InputSpec(shape=[-1, 3, 48, -1], dtype="float32", name="x")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = paddle.jit.to_static(network, input_spec=[image], full_graph=True)
        program = graph.forward.concrete_program.main_program
    return Counter(op.name() for op in program.global_block().ops if op.name() not in BESIDE)


@pytest.fixture(scope="module")
def cache_dir(pytestconfig: pytest.Config) -> Path:
    """A cache of the checkout's own, kept between runs."""
    assert pytestconfig.cache is not None
    return Path(pytestconfig.cache.mkdir("reference_models"))


@pytest.mark.parametrize(
    ("name", "parameter_bytes"), [("en_PP-OCRv3_mobile_rec", 8_916_816), ("en_PP-OCRv4_mobile_rec", 7_607_269)]
)
def test_the_command_writes_a_model_of_the_published_size(
    name: str, parameter_bytes: int, tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(cache_dir))
    done = CliRunner().invoke(main, [name, "-o", str(tmp_path / "model")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "model" / "inference.pdiparams").stat().st_size == parameter_bytes
    model = load_model(tmp_path / "model")
    assert model.name == name
    assert len(model.labels) == 97
    output = predictor_of(model.path)(line_images(1, 160, seed=1))
    assert output.shape == (1, 20, 97)
    assert output.max(axis=2).mean() > 0.3


def test_all_dictionaries_have_the_published_number_of_entries(cache_dir: Path) -> None:
    for name, model in MODELS.items():
        entries = read_dictionary(model.dictionary, entries=model.classes - 2, cache_dir=cache_dir)
        assert all(entries), name
        assert not any(re.search(r"[\r\n]", entry) for entry in entries), name
    with pytest.raises(DictionaryError, match="95 entries, expected 94"):
        read_dictionary("en_dict", entries=94, cache_dir=cache_dir)


def test_the_twenty_names_are_those_of_the_published_table() -> None:
    assert len(MODELS) == 20
    families = Counter(model.family for model in MODELS.values())
    assert families == {
        "v3-mobile": 12,
        "v4-mobile": 3,
        "v4-server": 2,
        "v5-server": 1,
        "svtrv2": 1,
        "repsvtr": 1,
    }
