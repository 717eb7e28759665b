"""Measuring with backends of third parties: the good one is timed, every bad one is a row with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocrhpi.candidate import Candidate, Split, Verified
from ocrhpi.model import Model, load_model
from ocrhpi.tuning import contestant
from ocrhpi.tuning.calibration import load_calibration
from ocrhpi.tuning.candidates import CandidateList
from ocrhpi.tuning.choose import MIN_ROUNDS, choose
from ocrhpi.tuning.contestant import Rejected
from ocrhpi.tuning.measure import measure
from ocrhpi.tuning.progress import Budget
from ocrhpi.tuning.question import Question
from ocrhpi.tuning.race import best_split
from ocrhpi.tuning.verification import LEAST_MARGIN
from tests.tuning.plugins import SPECS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ocrhpi.tuning.progress import Step
    from ocrhpi.tuning.rows import Row

NORMAL = Candidate(backend="normal", device="cpu")


@pytest.fixture
def plugins(register: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SPECS:
        register(name, f"tests.tuning.plugins:{name.upper()}")
    monkeypatch.setattr(contestant, "_LEAST_LIMIT_S", 2.0)


@pytest.fixture
def model(tiny_dir: Path) -> Model:
    return load_model(tiny_dir)


def run(
    model: Model, names: list[str], question: Question | None = None, *, seconds: float = 60.0, batch_size: int = 1
) -> tuple[dict[str, Row], list[Row], list[Step]]:
    candidates = tuple(Candidate(backend=name, device="cpu", batch_size=batch_size) for name in names)
    steps: list[Step] = []
    rows = measure(
        model,
        CandidateList(NORMAL, candidates, ()),
        load_calibration(),
        question or Question(),
        Budget(seconds),
        watcher=steps.append,
    )
    return {row.candidate.backend: row for row in rows if isinstance(row.candidate, Candidate)}, rows, steps


@pytest.mark.usefixtures("plugins")
def test_a_low_precision_that_tells_where_it_hesitates_wins_verified(model: Model) -> None:
    rough = Candidate(backend="rough", device="cpu", options={"precision": "bf16"})
    entrants = CandidateList(NORMAL, (rough,), ())
    rows = measure(model, entrants, load_calibration(), Question(), Budget(60))
    alone, verified = rows[1:3]
    assert alone.gate is not None
    assert 0 < alone.gate.changed < alone.gate.lines
    assert isinstance(verified.candidate, Verified)
    assert (verified.candidate.low, verified.candidate.full) == (rough, NORMAL)
    assert verified.candidate.threshold == LEAST_MARGIN
    assert 0.4 < verified.candidate.break_even < 0.9
    assert verified.gate is not None
    assert verified.gate.changed == 0
    assert verified.effective is not None
    assert verified.effective["precision"] == "bf16+fp32"
    choice = choose(rows, Question())
    assert rows[choice.winner] is verified


@pytest.mark.usefixtures("plugins")
def test_of_a_slow_model_fewer_lines_are_the_reference(model: Model) -> None:
    by_name, rows, _ = run(model, ["quick"], seconds=0.2)  # normal mode alone takes 0.8 s for all lines
    gate = by_name["normal"].gate
    assert gate is not None
    assert 0 < gate.lines < len(load_calibration().lines)
    assert len(by_name["normal"].samples) >= MIN_ROUNDS
    assert choose(rows, Question()).winner == 0


@pytest.mark.usefixtures("plugins")
def test_each_fault_is_a_rejected_row_with_its_reason_and_the_good_one_wins(model: Model) -> None:
    faulty = ["segfault", "hang", "exits", "silent", "honest"]
    by_name, rows, steps = run(model, ["quick", *faulty, "wrong"])
    assert {name: by_name[name].outcome for name in faulty} == dict.fromkeys(faulty, "rejected")
    assert "died of SIGSEGV" in by_name["segfault"].reason
    assert "no answer within" in by_name["hang"].reason
    assert "ended with exit status 7" in by_name["exits"].reason
    assert by_name["honest"].reason == "asked for fp32, it runs bf16"
    assert "lower precision than it reports" in by_name["silent"].reason
    wrong = by_name["wrong"].gate
    assert wrong is not None
    assert wrong.changed > 0
    assert wrong.examples[0].expected != wrong.examples[0].read
    choice = choose(rows, Question())
    assert rows[choice.winner].candidate.name.startswith("quick")
    assert choice.decided
    quick = by_name["quick"]
    assert len(quick.samples) >= MIN_ROUNDS
    assert quick.gate is not None
    assert (quick.gate.lines, quick.gate.changed) == (len(load_calibration().lines), 0)
    assert quick.effective is not None
    assert (quick.effective["precision"], quick.effective["device"]) == ("fp32", "cpu")
    assert quick.peak_mib is not None
    assert quick.peak_mib > 20
    assert {step.doing for step in steps} >= {"reading the reference", "taking a first look", "timing"}
    assert steps[-1].leader.startswith("quick")


@pytest.mark.usefixtures("plugins")
def test_the_clearly_slower_leaves_early_and_normal_mode_stays(model: Model) -> None:
    by_name, rows, _ = run(model, ["slow"])
    assert by_name["slow"].outcome == "measured"
    assert "times as slow as the quickest" in by_name["slow"].reason
    assert by_name["slow"].samples == ()
    choice = choose(rows, Question())
    assert rows[choice.winner].baseline


@pytest.mark.usefixtures("plugins")
def test_text_that_depends_on_the_batch_is_found(model: Model) -> None:
    by_name, _, _ = run(model, ["moody"], batch_size=3)
    moody = by_name["moody"]
    changed = moody.gate is not None and moody.gate.changed > 0
    assert changed or "beside other lines" in moody.reason


@pytest.mark.usefixtures("plugins")
def test_what_the_budget_does_not_reach_is_skipped_with_the_reason(model: Model) -> None:
    by_name, _, _ = run(model, ["quick", "slow"], seconds=0.01)
    assert {by_name[name].outcome for name in ("quick", "slow")} == {"skipped"}
    assert "the budget of 0.01 s was spent" in by_name["quick"].reason
    assert by_name["normal"].outcome == "measured"
    assert by_name["normal"].baseline


@pytest.mark.usefixtures("plugins")
def test_a_latency_bound_times_single_lines_besides(model: Model) -> None:
    question = Question(max_latency_ms=2.5)
    by_name, rows, _ = run(model, ["quick"], question)
    assert len(by_name["quick"].latency) == len(by_name["quick"].samples)
    assert rows[choose(rows, question).winner].candidate.name.startswith("quick")


@pytest.mark.usefixtures("plugins")
def test_a_baseline_that_does_not_run_ends_the_tuning(model: Model) -> None:
    entrants = CandidateList(Candidate(backend="segfault", device="cpu"), (NORMAL,), ())
    with pytest.raises(Rejected, match="SIGSEGV"):
        measure(model, entrants, load_calibration(), Question(), Budget(30))


def test_a_pair_enters_only_if_it_looks_faster_than_the_best_alone() -> None:
    one, two = Candidate(backend="one"), Candidate(backend="two")
    weights = (0.5, 0.2, 0.2, 0.1)
    split = best_split([(one, (1.0, 2.0, 9.0, 9.0)), (two, (2.0, 4.0, 5.0, 5.0))], weights)
    assert split == Split(narrow=one, wide=two, up_to=640)
    assert best_split([(one, (1.0, 2.0, 3.0, 4.0)), (two, (2.0, 3.0, 4.0, 5.0))], weights) is None
    assert best_split([(one, (1.0, 2.0, 3.0, 4.00)), (two, (2.0, 3.0, 4.0, 3.99))], weights) is None
    assert best_split([(one, (1.0, None, None, 9.0)), (two, (2.0, None, None, 5.0))], weights) == Split(
        narrow=one, wide=two, up_to=320
    )
    assert best_split([], weights) is None
