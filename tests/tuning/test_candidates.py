"""Which candidates a tuning tries, in which order, and why others are left out."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
import yaml

from ocrhpi import testing
from ocrhpi.backends import registry
from ocrhpi.config.candidate import Candidate, Verified
from ocrhpi.config.objective import Goal
from ocrhpi.errors import OptionError
from ocrhpi.model import ModelFiles
from tests.tuning.fileless import fileless_model
from tests.tuning.grids import grid_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrhpi.backends.registry import BackendSpec
    from ocrhpi.model import Model
    from ocrhpi.values import Batching

NO_FLAGS: dict[str, Any] = {"cpu_flags": []}
PADDLE = ModelFiles(paddle_graph=Path("m/inference.json"), paddle_parameters=Path("m/inference.pdiparams"))
ONNX = ModelFiles(onnx=Path("m/inference.onnx"))


def model(files: ModelFiles = PADDLE) -> Model:
    return fileless_model(files)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let an engine's modules be missing."""

    def remove(name: str) -> None:
        changed = tuple(
            replace(spec, modules=("no_such_module",)) if spec.name == name else spec for spec in registry._BUILT_IN
        )
        monkeypatch.setattr(registry, "_BUILT_IN", changed)

    return remove


def test_normal_mode_is_the_baseline_and_no_candidate_twice() -> None:
    grid = grid_of(model(), "cpu", "throughput")
    assert grid.baseline == Candidate(backend="paddle", device="cpu")
    names = [candidate.name for candidate in grid.candidates]
    assert grid.baseline.name not in names
    assert len(set(names)) == len(names)
    assert {candidate.backend for candidate in grid.candidates} == {"paddle", "openvino", "onnxruntime"}
    assert {candidate.device for candidate in grid.candidates} == {"cpu"}
    batchings = {candidate.batching for candidate in grid.candidates}
    assert batchings == {"exact", "masked", "split", "rounded", "natural"}
    assert all("ocrhpi lower" in row.reason for row in grid.left_out)
    assert grid.engines["openvino"] == importlib.metadata.version("openvino")


def test_what_is_likely_comes_first_then_the_best_of_each_engine_then_the_best_low_precisions() -> None:
    grid = grid_of(model(), "cpu", "throughput", machine=NO_FLAGS)
    likely, others = grid.likely, grid.candidates[len(grid.likely) :]
    assert grid.candidates[: len(likely)] == likely
    assert {(one.backend, one.lossless) for one in others[:2]} == {("openvino", True), ("onnxruntime", True)}
    # Of each of the two engines two that may change text, as far as there are any without plans.
    changing = [(one.backend, one.precision) for one in others[2:5]]
    assert sorted(changing) == [("onnxruntime", "fp32"), ("openvino", "bf16"), ("openvino", "bf16")]
    lossless = [one.lossless for one in others[5:]]
    assert lossless == sorted(lossless, reverse=True)
    assert {one.backend for one in others[5:]} == {"paddle", "openvino", "onnxruntime"}
    assert others[-1].batching == "rounded"


def test_where_text_may_change_what_changes_it_comes_first() -> None:
    grid = grid_of(model(), "cpu", "throughput", accuracy="no-loss", machine=NO_FLAGS)
    others = grid.candidates[len(grid.likely) :]
    assert {(one.backend, one.lossless) for one in others[:2]} == {("openvino", False), ("onnxruntime", False)}
    lossless = [one.lossless for one in others[-10:]]
    assert lossless == sorted(lossless)


def prior() -> list[dict[str, Any]]:
    classes: list[dict[str, Any]] = yaml.safe_load(
        Path(__file__).parents[2].joinpath("backend_configs", "prior.yaml").read_text("utf-8")
    )
    return classes


@pytest.mark.parametrize("accuracy", ["identical", "no-loss", "cer<=2%"])
@pytest.mark.parametrize("goal", get_args(Goal))
@pytest.mark.parametrize("of_class", prior(), ids=lambda of_class: of_class["flag"] or "any other")
def test_what_has_won_on_such_a_machine_is_tried_first_and_by_a_quick_tuning(
    of_class: dict[str, Any], goal: Goal, accuracy: str
) -> None:
    machine = {"cpu_flags": ["avx2", of_class["flag"]]}
    grid = grid_of(model(), "cpu", goal, accuracy=accuracy, machine=machine)
    expected = [
        Candidate(**{"device": "cpu", **entry})
        for entry in of_class[goal]["identical" if accuracy == "identical" else "other"]
    ]
    assert list(grid.likely) == expected, "an entry that no grid has is not tried"
    assert grid.candidates[: len(expected)] == grid.likely
    if accuracy == "identical":
        assert all(candidate.lossless for candidate in expected)


def test_the_first_class_whose_flag_the_cpu_has_counts() -> None:
    both, plain = (
        grid_of(model(), "cpu", "throughput", accuracy="no-loss", machine={"cpu_flags": flags}).likely
        for flags in (["avx512_bf16", "amx_bf16"], ["avx2"])
    )
    assert [candidate.precision for candidate in both] == ["bf16", "bf16", "fp32"]
    assert {candidate.precision for candidate in plain} == {"fp32"}
    without = [grid_of(model(), "cpu", "throughput", machine=machine).likely for machine in ({}, NO_FLAGS)]
    assert without[0] == without[1]


def test_what_is_likely_has_the_threads_and_options_that_are_asked_for() -> None:
    grid = grid_of(model(), "cpu", "throughput", cpu_threads=3, machine=NO_FLAGS)
    assert len(grid.likely) == 3
    assert all(candidate.options["threads"] == 3 for candidate in grid.likely)
    alone = grid_of(
        model(), "cpu", "throughput", backend="openvino", backend_config={"pinning": True}, machine=NO_FLAGS
    )
    assert {candidate.backend for candidate in alone.likely} == {"openvino"}
    assert all(candidate.options["pinning"] is True for candidate in alone.likely)
    assert alone.candidates[: len(alone.likely)] == alone.likely


def test_without_anything_that_has_won_the_first_few_are_likely(tmp_path: Path) -> None:
    for engine in ("openvino", "onnxruntime", "paddle"):
        (tmp_path / f"{engine}.yaml").write_text("cpu: [{batch_size: 3}, {batch_size: 5}]\n", "utf-8")
    grid = grid_of(model(), "cpu", "throughput", backend_configs=tmp_path)
    assert grid.likely == grid.candidates[:3]
    assert len(grid.candidates) == 6
    low = grid_of(model(), "cpu", "throughput", precision="bf16")
    assert low.likely == low.candidates[:3]
    assert {candidate.precision for candidate in low.likely} == {"bf16"}


@pytest.mark.parametrize(("missing", "baseline"), [("paddle", "onnxruntime"), ("onnxruntime", "paddle")])
def test_what_is_not_installed_is_left_out_with_the_cure(
    without: Callable[[str], None], missing: str, baseline: str
) -> None:
    without(missing)
    grid = grid_of(model(), "cpu", "throughput")
    assert grid.baseline.backend == baseline
    (row,) = [row for row in grid.left_out if row.candidate.precision == "fp32"]
    assert (row.outcome, row.candidate) == ("skipped", Candidate(backend=missing, device="cpu"))
    assert f"pip install 'ocrhpi[{missing}]'" in row.reason


def test_nothing_is_installed(without: Callable[[str], None]) -> None:
    for name in ("paddle", "openvino", "onnxruntime"):
        without(name)
    with pytest.raises(OptionError, match=r"no engine is installed that runs m: pip install 'ocrhpi\[paddle\]' or"):
        grid_of(model(), "cpu", "throughput")


def test_a_model_without_paddle_files() -> None:
    grid = grid_of(model(ONNX), "cpu", "throughput")
    assert grid.baseline.backend == "onnxruntime"
    unfit = [row.candidate.name for row in grid.left_out if row.candidate.precision == "fp32"]
    assert unfit == ["paddle, exact, batch 1"]
    assert "no Paddle files" in grid.left_out[0].reason


def test_without_conversion_a_paddle_model_runs_on_paddle_alone() -> None:
    grid = grid_of(model(), "cpu", "throughput", auto_paddle2onnx=False)
    assert {candidate.backend for candidate in grid.candidates} == {"paddle"}
    assert all("auto_paddle2onnx is off" in row.reason for row in grid.left_out)
    assert grid_of(model(ONNX), "cpu", "throughput", auto_paddle2onnx=False).candidates


def test_for_latency_batch_sizes_make_no_difference() -> None:
    candidates = grid_of(model(), "cpu", "latency").candidates
    assert {candidate.batch_size for candidate in candidates} == {1}
    assert len({candidate.name for candidate in candidates}) == len(candidates)
    assert len(candidates) < len(grid_of(model(), "cpu", "throughput").candidates)


def test_for_latency_what_serves_several_batches_is_left_out() -> None:
    for candidate in grid_of(model(), "cpu", "latency").candidates:
        assert not {"hint", "streams", "requests"} & set(candidate.options), candidate.name
    throughput = grid_of(model(), "cpu", "throughput").candidates
    assert {"hint", "requests"} <= {name for candidate in throughput for name in candidate.options}


def test_for_latency_what_a_user_asks_for_stays() -> None:
    asked = {"hint": "throughput", "streams": 1}
    candidates = grid_of(model(), "cpu", "latency", backend="openvino", backend_config=asked).candidates
    assert all(candidate.options.items() >= asked.items() for candidate in candidates)


def test_threads_and_options_reach_the_candidates_and_the_digest() -> None:
    plain = grid_of(model(), "cpu", "throughput")
    limited = grid_of(
        model(), "cpu", "throughput", cpu_threads=1, backend="openvino", backend_config={"hint": "throughput"}
    )
    assert limited.baseline.options == {"threads": 1}
    assert {candidate.backend for candidate in limited.candidates} == {"openvino"}
    for candidate in limited.candidates:
        assert candidate.options.items() >= {"threads": 1, "hint": "throughput"}.items()
    assert limited.digest != plain.digest
    assert plain.digest == grid_of(model(), "cpu", "throughput").digest


def test_an_unknown_backend() -> None:
    with pytest.raises(OptionError, match=r"received 'openvno'; registered are .*openvino"):
        grid_of(model(), "cpu", "throughput", backend="openvno")


def test_a_third_party_without_a_grid_is_tried_as_it_comes(register: Callable[[str, str], None]) -> None:
    register("stripes", "ocrhpi.testing:SPEC")
    candidates = grid_of(model(), "cpu", "throughput", backend="stripes").candidates
    assert candidates == (Candidate(backend="stripes", device="cpu"),)


@pytest.fixture
def third_party(register: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BackendSpec:
    """A backend with a grid and options of its own."""
    grid = tmp_path / "stripes.yaml"
    grid.write_text("cpu: [{batch_size: 4, options: {lanes: 2, mode: quick}}, {batch_size: 6}]\n", "utf-8")
    spec = replace(testing.SPEC, grid=grid, threads_option="workers", batch_options=("lanes",))
    monkeypatch.setattr(testing, "SPEC", spec)
    register("stripes", "ocrhpi.testing:SPEC")
    return spec


def of_stripes(goal: Goal = "throughput", **asked: Any) -> list[tuple[int, dict[str, Any]]]:
    found = grid_of(model(), "cpu", goal, backend="stripes", **asked).candidates
    return [(one.batch_size, one.options) for one in found]


@pytest.mark.usefixtures("third_party")
def test_a_third_party_brings_its_own_grid_and_the_names_of_its_options() -> None:
    assert of_stripes() == [(4, {"lanes": 2, "mode": "quick"}), (6, {})]
    assert of_stripes(cpu_threads=3) == [(4, {"lanes": 2, "mode": "quick", "workers": 3}), (6, {"workers": 3})]
    assert of_stripes("latency") == [(1, {"mode": "quick"}), (1, {})]


@pytest.mark.usefixtures("third_party")
def test_a_folder_of_the_user_wins_over_the_grid_of_a_third_party(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    assert len(of_stripes(backend_configs=folder)) == 2
    (folder / "stripes.yaml").write_text("cpu: [{batch_size: 9}]\n", "utf-8")
    assert of_stripes(backend_configs=folder) == [(9, {})]


def test_a_grid_that_a_third_party_names_and_does_not_bring_is_an_error(third_party: BackendSpec) -> None:
    assert third_party.grid is not None
    third_party.grid.unlink()
    with pytest.raises(OptionError, match=r"stripes\.yaml cannot be read"):
        of_stripes()


def test_a_folder_of_the_user_replaces_the_shipped_grid_of_that_engine(tmp_path: Path) -> None:
    (tmp_path / "openvino.yaml").write_text("cpu: [{batch_size: 3}]\ngpu: []\n", "utf-8")
    candidates = grid_of(model(), "cpu", "throughput", backend_configs=tmp_path).candidates
    assert [one.name for one in candidates if one.backend == "openvino"] == ["openvino, exact, batch 3"]
    assert len([one for one in candidates if one.backend == "onnxruntime"]) > 1


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("cpu: {batch_size: 3}", "expected a list of candidates under 'cpu'"),
        ("[1, 2]", "expected a list of candidates under 'cpu'"),
        ("cpu: [3]", "expected a list of candidates under 'cpu'"),
        ("cpu: [", "cannot be read"),
        ("cpu: [{batch: 3}]", "Did you mean 'batching'"),
        ("cpu: [{batching: wide}]", "received 'wide'"),
    ],
)
def test_a_grid_that_is_none_is_an_error_that_says_where(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "openvino.yaml").write_text(content, "utf-8")
    with pytest.raises(OptionError, match="openvino") as error:
        grid_of(model(), "cpu", "throughput", backend_configs=tmp_path)
    assert problem in str(error.value)


def test_names_and_complexity_of_setups() -> None:
    plain = Candidate(backend="paddle", device="cpu")
    tuned = Candidate(
        backend="openvino",
        options={"hint": "throughput", "pinning": True},
        batching="masked",
        batch_size=8,
        head="topk",
    )
    assert plain.name == "paddle, exact, batch 1"
    assert tuned.name == "openvino, hint=throughput, pinning=true, head=topk, masked 64, batch 8"
    assert plain.complexity == 0
    assert plain.complexity < tuned.complexity
    split = Candidate(backend="openvino", batching="split")
    assert split.name == "openvino, split 64, batch 1"
    low = Candidate(backend="openvino", options={"precision": "bf16"})
    assert [setup.lossless for setup in (plain, tuned, split, low)] == [True, True, True, False]
    assert not Candidate(backend="openvino", batching="natural").lossless


def test_batchings_are_the_more_complex_the_farther_they_are_from_normal_mode() -> None:
    batchings: tuple[Batching, ...] = ("exact", "masked", "split", "rounded", "natural")
    *ranks, natural = [Candidate(backend="openvino", batching=batching).complexity for batching in batchings]
    assert ranks == sorted(set(ranks))
    assert natural == ranks[-1]  # one plain graph on a ladder of widths, as rounded
    low = Candidate(backend="openvino", options={"precision": "bf16"}, batching="natural", batch_size=8)
    assert Verified(low=low, full=low, threshold=0.2).complexity > low.complexity


def test_kinds_are_told_apart_by_engine_provider_and_precisions_alone() -> None:
    one = Candidate(backend="openvino", options={"precision": "int8", "rest": "bf16", "hint": "throughput"})
    like = Candidate(
        backend="openvino", options={"precision": "int8", "rest": "bf16"}, batching="natural", batch_size=8
    )
    others = [
        Candidate(backend="openvino"),
        Candidate(backend="openvino", options={"precision": "int8"}),
        Candidate(backend="onnxruntime", options={"precision": "int8", "rest": "bf16"}),
        Candidate(backend="onnxruntime", options={"provider": "cuda"}),
        Candidate(backend="onnxruntime", options={"provider": "tensorrt"}),
    ]
    assert one.kind == like.kind
    assert len({one.kind, *(other.kind for other in others)}) == 6
    assert (one.kind_name, others[0].kind_name) == ("openvino int8 bf16", "openvino fp32")
    assert others[3].kind_name == "onnxruntime cuda fp32"
