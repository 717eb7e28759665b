"""Which candidates a tuning tries, in which order, and why others are left out."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocrhpi.backends import registry
from ocrhpi.candidate import Candidate, Split
from ocrhpi.errors import OptionError
from ocrhpi.model import ModelFiles
from ocrhpi.tuning.candidates import list_candidates
from tests.tuning.fileless import fileless_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrhpi.model import Model

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
    entrants = list_candidates(model(), "cpu", "throughput")
    assert entrants.baseline == Candidate(backend="paddle", device="cpu")
    names = [candidate.name for candidate in entrants.candidates]
    assert entrants.baseline.name not in names
    assert len(set(names)) == len(names)
    assert {candidate.backend for candidate in entrants.candidates} == {"paddle", "openvino", "onnxruntime"}
    assert {candidate.device for candidate in entrants.candidates} == {"cpu"}
    assert {candidate.batching for candidate in entrants.candidates} == {"exact", "masked", "rounded", "natural"}
    assert all("ocrhpi lower" in row.reason for row in entrants.left_out)
    assert entrants.engines["openvino"] == importlib.metadata.version("openvino")


def test_every_engine_has_its_best_chance_first_then_the_best_low_precisions_and_other_widths_last() -> None:
    candidates = list_candidates(model(), "cpu", "throughput").candidates
    assert {candidate.backend for candidate in candidates[:2]} == {"openvino", "onnxruntime"}
    likely = ["openvino", "onnxruntime"] * 2
    assert sorted(candidate.backend for candidate in candidates[:4] if candidate.same_text) == sorted(likely)
    assert (candidates[4].backend, candidates[4].precision) == ("openvino", "bf16")  # without plans, it alone
    same_text = [candidate.same_text for candidate in candidates[5:]]
    assert same_text == sorted(same_text, reverse=True)
    own = [number for number, candidate in enumerate(candidates) if candidate.backend == "paddle"]
    assert own[0] > max(
        number for number, candidate in enumerate(candidates) if candidate.same_text and candidate.backend != "paddle"
    )
    assert candidates[-1].batching == "natural"


@pytest.mark.parametrize(("missing", "baseline"), [("paddle", "onnxruntime"), ("onnxruntime", "paddle")])
def test_what_is_not_installed_is_left_out_with_the_cure(
    without: Callable[[str], None], missing: str, baseline: str
) -> None:
    without(missing)
    entrants = list_candidates(model(), "cpu", "throughput")
    assert entrants.baseline.backend == baseline
    (row,) = [row for row in entrants.left_out if row.candidate.precision == "fp32"]
    assert (row.outcome, row.candidate) == ("skipped", Candidate(backend=missing, device="cpu"))
    assert f"pip install 'ocrhpi[{missing}]'" in row.reason


def test_nothing_is_installed(without: Callable[[str], None]) -> None:
    for name in ("paddle", "openvino", "onnxruntime"):
        without(name)
    with pytest.raises(OptionError, match=r"no engine is installed that runs m: pip install 'ocrhpi\[paddle\]' or"):
        list_candidates(model(), "cpu", "throughput")


def test_a_model_without_paddle_files() -> None:
    entrants = list_candidates(model(ONNX), "cpu", "throughput")
    assert entrants.baseline.backend == "onnxruntime"
    unfit = [row.candidate.name for row in entrants.left_out if row.candidate.precision == "fp32"]
    assert unfit == ["paddle, exact, batch 1"]
    assert "no Paddle files" in entrants.left_out[0].reason


def test_without_conversion_a_paddle_model_runs_on_paddle_alone() -> None:
    entrants = list_candidates(model(), "cpu", "throughput", may_convert=False)
    assert {candidate.backend for candidate in entrants.candidates} == {"paddle"}
    assert all("auto_paddle2onnx is off" in row.reason for row in entrants.left_out)
    assert list_candidates(model(ONNX), "cpu", "throughput", may_convert=False).candidates


def test_for_latency_batch_sizes_make_no_difference() -> None:
    candidates = list_candidates(model(), "cpu", "latency").candidates
    assert {candidate.batch_size for candidate in candidates} == {1}
    assert len({candidate.name for candidate in candidates}) == len(candidates)
    assert len(candidates) < len(list_candidates(model(), "cpu", "throughput").candidates)


def test_threads_and_options_reach_the_candidates_and_the_digest() -> None:
    plain = list_candidates(model(), "cpu", "throughput")
    limited = list_candidates(
        model(), "cpu", "throughput", threads=1, backend="openvino", options={"hint": "throughput"}
    )
    assert limited.baseline.options == {"threads": 1}
    assert {candidate.backend for candidate in limited.candidates} == {"openvino"}
    for candidate in limited.candidates:
        assert candidate.options.items() >= {"threads": 1, "hint": "throughput"}.items()
    assert limited.digest != plain.digest
    assert plain.digest == list_candidates(model(), "cpu", "throughput").digest


def test_an_unknown_backend() -> None:
    with pytest.raises(OptionError, match=r"received 'openvno'; registered are .*openvino"):
        list_candidates(model(), "cpu", "throughput", backend="openvno")


def test_a_third_party_without_a_grid_is_tried_as_it_comes(register: Callable[[str, str], None]) -> None:
    register("stripes", "tests.fakes:SPEC")
    candidates = list_candidates(model(), "cpu", "throughput", backend="stripes").candidates
    assert candidates == (Candidate(backend="stripes", device="cpu"),)


def test_a_folder_of_the_user_replaces_the_shipped_grid_of_that_engine(tmp_path: Path) -> None:
    (tmp_path / "openvino.yaml").write_text("cpu: [{batch_size: 3}]\ngpu: []\n", "utf-8")
    candidates = list_candidates(model(), "cpu", "throughput", grids=tmp_path).candidates
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
        list_candidates(model(), "cpu", "throughput", grids=tmp_path)
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
    split = Split(narrow=plain, wide=tuned, up_to=640)
    assert split.name == f"up to 640: {plain.name}; wider: {tuned.name}"
    assert plain.complexity == 0
    assert plain.complexity < tuned.complexity < split.complexity
    low = Candidate(backend="openvino", options={"precision": "bf16"})
    assert [setup.same_text for setup in (plain, tuned, split, low)] == [True, True, True, False]
    assert not Split(narrow=plain, wide=low, up_to=320).same_text
    assert Split(narrow=plain, wide=low, up_to=320).precision == "fp32+bf16"
    assert not Candidate(backend="openvino", batching="natural").same_text
