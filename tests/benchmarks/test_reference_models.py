"""The reference models have the published sizes, and their small relatives are fit to test engines with."""

from __future__ import annotations

import csv
import itertools
import math
import os
import re
import sys
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner

from ocrhpi.bench.run import REFERENCE_MARK, find_jobs
from ocrhpi.loader import load_predictor
from ocrhpi.model import load_model

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import paddle

    from benchmarks.reference_models import __main__ as command
    from benchmarks.reference_models import old_format
    from benchmarks.reference_models.__main__ import main
    from benchmarks.reference_models.checks import activation_faults, count, differences, published, text_faults
    from benchmarks.reference_models.dictionaries import DictionaryError, read_dictionary
    from benchmarks.reference_models.export import write_small_model
    from benchmarks.reference_models.families import FAMILIES, Recognizer, build
    from benchmarks.reference_models.models import MODELS, UNSPECIFIED
    from benchmarks.reference_models.old_format import OldFormatError
    from benchmarks.reference_models.weights import line_images, set_weights

needs_old_format = pytest.mark.skipif(
    "OCRHPI_OLD_FORMAT" not in os.environ,
    reason="needs OCRHPI_OLD_FORMAT: installs Paddle 3.0.0, 900 MB, into the cache if it is not there",
)

SMALL_CLASSES = 28
# What a graph holds beside its operators; the published counts leave it out too, but for the fetch.
BESIDE = {"builtin.parameter", "pd_op.full", "pd_op.full_int_array", "builtin.combine", "pd_op.assign", "pd_op.fetch"}


# For each family a model, and the operators of its published graph.
PUBLISHED = {
    "v3-mobile": ("PP-OCRv3_mobile_rec", 182),
    "v4-mobile": ("PP-OCRv5_mobile_rec", 327),
    "v4-server": ("PP-OCRv4_server_rec_doc", 239),
    "v5-server": ("PP-OCRv5_server_rec", 306),
    "svtrv2": ("ch_SVTRv2_rec", 520),
    "repsvtr": ("ch_RepSVTR_rec", 310),
}
ARCHITECTURES = Path(__file__).parents[3] / "shared" / "reference" / "architectures.csv"


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


@pytest.mark.slow
def test_a_small_model_reads_something_else_on_each_real_line(small_dir: Path, lines_dir: Path) -> None:
    with load_predictor(model_dir=small_dir, device="cpu") as predictor:
        results = list(predictor.predict_iter(str(lines_dir), batch_size=8))
    assert len(results) == 61
    assert text_faults([one["rec_text"] for one in results], [one["rec_score"] for one in results]) == []


def test_what_is_read_is_judged() -> None:
    letters = [chr(ord("a") + number) for number in range(20)]
    assert text_faults(letters, [0.8] * 20) == []
    assert text_faults(["", *letters[1:]], [0.8] * 20) == ["1 of 20 lines are read as nothing"]
    assert text_faults(["abcdefghijk"] * 20, [0.8] * 20) == ["only 1 of 20 lines are read differently"]
    assert text_faults(["a" * length for length in range(1, 21)], [0.8] * 20) == ["only 1 characters are ever read"]
    (fault,) = text_faults(letters, [0.01] * 20)
    assert "the mean score is 0.010" in fault


@pytest.fixture(scope="module", params=list(FAMILIES))
def full(request: pytest.FixtureRequest) -> tuple[str, Recognizer]:
    """The name of one model of a family, and our network of it."""
    name, _ = PUBLISHED[request.param]
    assert MODELS[name].family == request.param
    return name, build(request.param, scale="full", classes=MODELS[name].classes)


def test_a_family_has_the_published_size(full: tuple[str, Recognizer]) -> None:
    name, network = full
    expected = published()[name]
    assert differences(count(network, expected.parameter_file_bytes), expected) == []
    assert expected.time_steps == time_steps(320)


def test_a_family_has_the_published_operators_and_its_small_relative_the_same_kinds(
    full: tuple[str, Recognizer],
) -> None:
    name, network = full
    family = MODELS[name].family
    found = operators(network)
    assert sum(found.values()) == PUBLISHED[family][1]
    assert set(operators(build(family))) == set(found)


def test_differences_are_named() -> None:
    expected = published()["ch_SVTRv2_rec"]
    found = replace(expected, macs=1000, time_steps=41)
    assert differences(found, expected) == ["macs: 1,000, expected 7,394,273,280", "time_steps: 41, expected 40"]


@pytest.mark.parametrize("family", list(FAMILIES))
def test_activations_that_blow_up_are_named(family: str) -> None:
    network = build(family)
    set_weights(network)
    assert activation_faults(network) == []
    network.head.bias.set_value(network.head.bias + np.float32(1e6))
    (fault,) = activation_faults(network)
    assert "linear" in fault


def test_each_model_has_published_counts() -> None:
    assert set(published()) == set(MODELS)


@pytest.mark.skipif(not ARCHITECTURES.is_file(), reason="needs ../shared/reference of the project")
def test_the_counts_are_those_of_the_reference() -> None:
    with ARCHITECTURES.open(encoding="utf-8", newline="") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    assert set(rows) == set(MODELS)
    for name, row in rows.items():
        counts = published()[name]
        assert counts.inference_parameters == int(row["inference_parameters"])
        assert counts.macs == int(row["macs_1x3x48x320"])
        assert counts.time_steps == int(row["time_steps_at_320"])
        assert MODELS[name].classes == int(row["classes"])
        assert f"{MODELS[name].dictionary}.txt" == row["dictionary"]


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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["en_PP-OCRv3_mobile_rec", "en_PP-OCRv4_mobile_rec"])
def test_the_command_writes_and_checks_a_model(
    name: str, tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(cache_dir))
    done = CliRunner().invoke(main, [name, "-o", str(tmp_path / "model"), "--check"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "(as published, " in done.stdout
    model = load_model(tmp_path / "model")
    assert model.name == name
    assert len(model.labels) == 97
    (tmp_path / "model").rename(tmp_path / name)
    assert find_jobs([name], tmp_path)[0].weights == "reference"


@needs_old_format
def test_the_old_format_holds_the_same_weights(tmp_path: Path) -> None:
    name = "en_PP-OCRv3_mobile_rec"
    for folder, options in (("old", ["--old_format", "--check"]), ("new", [])):
        done = CliRunner().invoke(main, [name, "-o", str(tmp_path / folder), *options], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    old, new = (load_model(tmp_path / folder) for folder in ("old", "new"))
    assert old.files.paddle_graph == tmp_path / "old" / "inference.pdmodel"
    one, other = ((tmp_path / folder / "inference.pdiparams").read_bytes() for folder in ("old", "new"))
    assert one == other
    assert old.vocabulary == new.vocabulary


def test_an_environment_that_cannot_be_made_says_why() -> None:
    with pytest.raises(OldFormatError, match=r"Paddle 3\.0\.0 in an environment of its own: .* failed: no wheel"):
        old_format._run([sys.executable, "-c", "raise SystemExit('no wheel')"])


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """What the command writes: nothing but an empty graph each."""
    calls: list[tuple[str, Path]] = []

    def write(graph: str) -> Callable[..., None]:
        def put(name: str, directory: Path, *, seed: int) -> None:
            assert seed == 3
            calls.append((name, directory))
            directory.mkdir(parents=True, exist_ok=True)
            (directory / graph).touch()

        return put

    monkeypatch.setattr(command, "write_model", write("inference.json"))
    monkeypatch.setattr(command, "write_old_model", write("inference.pdmodel"))
    return calls


def test_all_models_get_a_directory_each(tmp_path: Path, written: list[tuple[str, Path]]) -> None:
    done = CliRunner().invoke(main, ["all", "-o", str(tmp_path), "--seed", "3"])
    assert done.exit_code == 0, done.output
    assert written == [(name, tmp_path / name) for name in MODELS]
    assert {path.name for path in (tmp_path / "ch_SVTRv2_rec").iterdir()} == {"inference.json", REFERENCE_MARK}


def test_one_directory_holds_one_format(tmp_path: Path, written: list[tuple[str, Path]]) -> None:
    for options, graph in (([], "inference.json"), (["--old-format"], "inference.pdmodel"), ([], "inference.json")):
        done = CliRunner().invoke(main, ["ch_SVTRv2_rec", "-o", str(tmp_path), "--seed", "3", *options])
        assert done.exit_code == 0, done.output
        assert {path.name for path in tmp_path.iterdir()} == {graph, REFERENCE_MARK}
    assert len(written) == 3


@pytest.mark.usefixtures("written")
def test_what_is_not_as_published_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "check_model", lambda name, directory, *, seed: [f"{name}: {directory}: {seed}"])
    done = CliRunner().invoke(main, ["ch_SVTRv2_rec", "-o", str(tmp_path), "--seed", "3", "--check"])
    assert done.exit_code == 1
    assert f"(ch_SVTRv2_rec: {tmp_path}: 3, " in done.stdout
    assert "1 models are not as published" in done.stderr


def test_models_without_a_specification_are_named(tmp_path: Path) -> None:
    help_text = CliRunner().invoke(main, ["--help"]).stdout
    for name in UNSPECIFIED:
        assert name.partition("-")[2] in help_text
        refused = CliRunner().invoke(main, [name, "-o", str(tmp_path)])
        assert refused.exit_code == 2
        assert f"ocrhpi models pull {name}" in refused.stderr
    assert "Did you mean 'ch_SVTRv2_rec'" in CliRunner().invoke(main, ["ch_SVTR2_rec", "-o", str(tmp_path)]).stderr


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
