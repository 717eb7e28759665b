"""Measuring with backends of third parties: the good one is timed, every bad one is a row with its reason."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from ocrhpi.config.candidate import Candidate, Verified
from ocrhpi.config.objective import Objective
from ocrhpi.measuring.statistic import MIN_ROUNDS
from ocrhpi.model import Model, load_model
from ocrhpi.recognition.batching import width_ladder
from ocrhpi.tuning import trial
from ocrhpi.tuning.calibration import load_calibration
from ocrhpi.tuning.candidates import Grid
from ocrhpi.tuning.choose import choose
from ocrhpi.tuning.measure import measure
from ocrhpi.tuning.progress import QUICK, THOROUGH, Budget, Effort
from ocrhpi.tuning.rows import PROMISED_LINES
from ocrhpi.tuning.trial import Job, Rejected, Trial
from ocrhpi.tuning.verification import MIN_MARGIN
from tests.tuning.plugins import SPECS, Compiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from ocrhpi.config.candidate import ExecutionPlan
    from ocrhpi.tuning.progress import Step
    from ocrhpi.tuning.rows import Row

NORMAL = Candidate(backend="normal", device="cpu")
SHORT = Effort(most_lines=32, call_lines=16, rounds=MIN_ROUNDS)
"""For what is found out before the rounds."""


@pytest.fixture
def plugins(register: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SPECS:
        register(name, f"tests.tuning.plugins:{name.upper()}")
    monkeypatch.setattr(trial, "_MIN_LIMIT_S", 2.0)


@pytest.fixture
def model(tiny_dir: Path) -> Model:
    return load_model(tiny_dir)


def plugin(backend: str, **facts: Any) -> Candidate:
    return Candidate(backend=backend, device="cpu", **facts)


def low(backend: str, **facts: Any) -> Candidate:
    return plugin(backend, options={"precision": "bf16"}, **facts)


def measured(
    model: Model,
    candidates: Sequence[Candidate],
    objective: Objective | None = None,
    *,
    seconds: float = 60.0,
    effort: Effort = THOROUGH,
    lines: Path | None = None,
    watch: Callable[[Step], None] = lambda _: None,
) -> list[Row]:
    grid = Grid(NORMAL, tuple(candidates), ())
    asked = objective or Objective()
    return measure(model, grid, load_calibration(lines), asked, Budget(seconds), effort=effort, on_progress=watch)


def run(
    model: Model,
    names: list[str],
    objective: Objective | None = None,
    *,
    seconds: float = 60.0,
    effort: Effort = SHORT,
) -> tuple[dict[str, Row], list[Row], list[Step]]:
    steps: list[Step] = []
    candidates = [plugin(name) for name in names]
    rows = measured(model, candidates, objective, seconds=seconds, effort=effort, watch=steps.append)
    return {row.candidate.backend: row for row in rows if isinstance(row.candidate, Candidate)}, rows, steps


@pytest.mark.usefixtures("plugins")
def test_a_low_precision_that_tells_where_it_hesitates_wins_verified(model: Model) -> None:
    rows = measured(model, [low("rough")], effort=Effort(rounds=MIN_ROUNDS))
    alone, verified = rows[1:3]
    assert alone.gate is not None
    assert 0 < alone.gate.changed < alone.gate.lines
    assert isinstance(verified.candidate, Verified)
    assert (verified.candidate.low, verified.candidate.full) == (low("rough"), NORMAL)
    assert verified.candidate.threshold == MIN_MARGIN
    assert 0.4 < verified.candidate.break_even < 0.9
    assert verified.candidate.read_again is not None
    assert 0 < verified.candidate.read_again < 1
    assert verified.gate is not None
    assert verified.gate.changed == 0
    assert verified.effective is not None
    assert verified.effective["precision"] == "bf16+fp32"
    choice = choose(rows, Objective())
    assert rows[choice.winner] is verified


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    "candidate",
    [
        pytest.param(low("rough", batching="natural"), id="another width shows the network something else"),
        pytest.param(low("hasty"), id="sure of another text, on pieces of the calibration lines alone"),
    ],
)
def test_what_changes_text_without_hesitating_is_not_verified(model: Model, candidate: Candidate) -> None:
    rows = measured(model, [candidate], effort=Effort(rounds=MIN_ROUNDS))
    assert [row.candidate for row in rows] == [NORMAL, candidate]
    assert rows[1].gate is not None
    assert rows[1].gate.changed > 0


@pytest.mark.usefixtures("plugins")
def test_of_a_slow_model_fewer_lines_are_the_reference(model: Model) -> None:
    by_name, rows, _ = run(
        model, ["quick"], seconds=0.2, effort=THOROUGH
    )  # normal mode alone takes 0.8 s for all lines
    gate = by_name["normal"].gate
    assert gate is not None
    assert 0 < gate.lines < len(load_calibration().lines)
    assert len(by_name["normal"].samples) >= MIN_ROUNDS
    assert choose(rows, Objective()).winner == 0


@pytest.mark.usefixtures("plugins")
def test_each_fault_is_a_rejected_row_with_its_reason_and_the_good_one_wins(model: Model) -> None:
    faulty = ["segfault", "hang", "exits", "silent", "honest"]
    by_name, rows, steps = run(model, ["quick", *faulty, "wrong"], effort=THOROUGH)
    assert {name: by_name[name].outcome for name in faulty} == dict.fromkeys(faulty, "rejected")
    assert "died of SIGSEGV" in by_name["segfault"].reason
    assert "no answer within" in by_name["hang"].reason
    assert "ended with exit status 7" in by_name["exits"].reason
    assert {name: by_name[name].passing for name in faulty} == {**dict.fromkeys(faulty, ""), "hang": "time"}
    assert by_name["honest"].reason == "asked for fp32, it runs bf16"
    assert "lower precision than it reports" in by_name["silent"].reason
    wrong = by_name["wrong"].gate
    assert wrong is not None
    assert wrong.changed > 0
    assert wrong.examples[0].expected != wrong.examples[0].read
    choice = choose(rows, Objective())
    assert rows[choice.winner].candidate.name.startswith("quick")
    assert choice.decided
    quick = by_name["quick"]
    assert len(quick.samples) >= MIN_ROUNDS
    assert all(1 < ms < 4 for ms in quick.samples)
    assert quick.look is not None
    assert 1 < quick.look < 4
    assert quick.gate is not None
    assert (quick.gate.lines, quick.gate.changed) == (len(load_calibration().lines), 0)
    assert quick.effective is not None
    assert (quick.effective["precision"], quick.effective["device"]) == ("fp32", "cpu")
    assert quick.remarks == ()
    assert quick.peak_mib is not None
    assert quick.peak_mib > 20
    doing = {step.doing for step in steps}
    assert doing == {"reading the reference", "screening", "reading all lines", "meeting shapes", "timing"}
    assert steps[-1].leader.startswith("quick")


@pytest.mark.usefixtures("plugins")
def test_what_fails_first_ends_nothing(model: Model) -> None:
    # It is prepared while normal mode reads.
    rows = measured(model, [plugin("no_such_engine"), plugin("quick")], effort=SHORT)
    assert [row.outcome for row in rows] == ["measured", "rejected", "measured"]
    assert "no_such_engine" in rows[1].reason
    assert choose(rows, Objective()).winner == 2


@pytest.mark.usefixtures("plugins")
def test_the_clearly_slower_leaves_early_and_normal_mode_stays(model: Model) -> None:
    by_name, rows, _ = run(model, ["slow"])
    assert by_name["slow"].outcome == "measured"
    assert "times as slow as the quickest" in by_name["slow"].reason
    assert by_name["slow"].samples == ()
    choice = choose(rows, Objective())
    assert rows[choice.winner].baseline


@pytest.mark.usefixtures("plugins")
def test_what_the_budget_does_not_reach_is_skipped_with_the_reason(model: Model) -> None:
    by_name, _, _ = run(model, ["quick", "slow"], seconds=0.01)
    assert {by_name[name].outcome for name in ("quick", "slow")} == {"skipped"}
    assert "the budget of 0.01 s was spent" in by_name["quick"].reason
    assert by_name["normal"].outcome == "measured"
    assert by_name["normal"].baseline


@pytest.mark.usefixtures("plugins")
def test_a_latency_bound_times_single_lines_besides(model: Model) -> None:
    objective = Objective(max_latency_ms=2.5)
    by_name, rows, _ = run(model, ["quick"], objective)
    assert len(by_name["quick"].latency) == len(by_name["quick"].samples)
    assert rows[choose(rows, objective).winner].candidate.name.startswith("quick")


@pytest.mark.usefixtures("plugins")
def test_for_latency_lines_are_timed_one_a_call(model: Model) -> None:
    objective = Objective(goal="latency")
    rows = measured(model, [plugin("quick")], objective, effort=SHORT)
    assert rows[choose(rows, objective).winner].candidate == plugin("quick")
    assert rows[1].latency == ()
    assert len(rows[1].samples) == MIN_ROUNDS


@pytest.mark.usefixtures("plugins")
def test_a_baseline_that_does_not_run_ends_the_tuning(model: Model) -> None:
    grid = Grid(plugin("segfault"), (NORMAL,), ())
    with pytest.raises(Rejected, match="SIGSEGV"):
        measure(model, grid, load_calibration(), Objective(), Budget(30))


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("accuracy", "reason"),
    [("cer<=1%", "character error rate "), ("no-loss", "it needs lines of known text")],
    ids=["it errs too often itself", "no line is labelled"],
)
def test_normal_mode_stays_where_the_policy_lets_nothing_pass_not_even_it(
    model: Model, labelled: Path, accuracy: str, reason: str
) -> None:
    if accuracy == "no-loss":
        (labelled / "labels.txt").unlink()
    objective = Objective(accuracy=accuracy)
    rows = measured(model, [plugin("quick")], objective, effort=SHORT, lines=labelled)
    choice = choose(rows, objective)
    assert (choice.winner, choice.decided) == (0, True)
    assert f"as fast as the winner, but {reason}" in choice.reason


@pytest.mark.usefixtures("plugins")
def test_nothing_fails_where_no_line_that_was_read_decides(model: Model, labelled: Path) -> None:
    first = 10
    labels = (labelled / "labels.txt").read_text("utf-8").splitlines()
    labels[:first] = [line.replace("ab", "字") for line in labels[:first]]
    (labelled / "labels.txt").write_text("\n".join(labels), "utf-8")
    effort = Effort(most_lines=first, call_lines=16, rounds=MIN_ROUNDS)
    rows = measured(model, [plugin("quick")], effort=effort, lines=labelled)
    gate = rows[1].gate
    assert gate is not None
    assert gate.lines + gate.apart == first
    assert (choose(rows, Objective()).winner == 0) == (gate.lines == 0)


class TestScreening:
    @pytest.mark.usefixtures("plugins")
    def test_of_a_kind_that_is_far_behind_no_other_setting_is_tried(self, model: Model) -> None:
        candidates = [plugin("quick"), plugin("slow"), plugin("slow", batch_size=4), plugin("quick", batch_size=4)]
        rows = {row.candidate.name: row for row in measured(model, candidates, effort=SHORT)}
        assert rows["slow, exact, batch 1"].outcome == "measured"
        second = rows["slow, exact, batch 4"]
        assert (second.outcome, second.gate, second.look) == ("skipped", None, None)
        assert second.reason.startswith("screened out: 'slow, exact, batch 1', of the same engine and precision, was ")
        assert second.reason.endswith("times as slow as the quickest then")
        assert rows["quick, exact, batch 4"].outcome == "measured"

    @pytest.mark.usefixtures("plugins")
    def test_of_a_kind_that_failed_twice_no_third_is_tried(self, model: Model) -> None:
        candidates = [plugin("exits", batch_size=size) for size in (1, 2, 4)]
        first, second, third = measured(model, candidates, effort=SHORT)[1:]
        assert [first.outcome, second.outcome, third.outcome] == ["rejected", "rejected", "skipped"]
        assert third.reason == "screened out: 2 others of exits fp32 failed, such as 'exits, exact, batch 1'"

    @pytest.mark.usefixtures("plugins")
    @pytest.mark.parametrize(("accuracy", "outcome"), [("identical", "skipped"), ("cer<=100", "measured")])
    def test_where_text_must_not_change_few_low_precisions_are_tried(
        self, model: Model, accuracy: str, outcome: str, labelled: Path
    ) -> None:
        candidates = [low("rough"), low("swaying"), plugin("quick")]
        effort = Effort(call_lines=16, rounds=MIN_ROUNDS, others=1)
        rows = measured(model, candidates, Objective(accuracy=accuracy), effort=effort, lines=labelled)
        by_name = {row.candidate.name: row for row in rows}
        second = by_name["swaying, precision=bf16, exact, batch 1"]
        assert second.outcome == outcome
        assert by_name["rough, precision=bf16, exact, batch 1"].outcome == "measured"
        assert by_name["quick, exact, batch 1"].outcome == "measured"
        if outcome == "skipped":
            assert second.reason == (
                "screened out: it may change text, which the policy forbids, and enough of its like were looked at"
            )

    @pytest.mark.usefixtures("plugins")
    def test_a_quick_look_tries_none_of_them_and_takes_few_lines_and_rounds(self, model: Model) -> None:
        candidates = [low("rough"), plugin("quick"), plugin("slow"), plugin("slow", batch_size=2)]
        rows = measured(model, candidates, seconds=20.0, effort=QUICK)
        by_name = {row.candidate.name: row for row in rows}
        rough, quick = by_name["rough, precision=bf16, exact, batch 1"], by_name["quick, exact, batch 1"]
        assert (rough.outcome, rough.reason.split(":")[0]) == ("skipped", "screened out")
        assert not any(isinstance(row.candidate, Verified) for row in rows)
        assert len(quick.samples) == len(rows[0].samples) == MIN_ROUNDS
        assert quick.gate is not None
        assert quick.gate.lines + quick.gate.apart == QUICK.most_lines
        choice = choose(rows, Objective())
        assert (rows[choice.winner], choice.decided) == (quick, True)

    @pytest.mark.usefixtures("plugins")
    def test_of_those_that_pass_the_quickest_are_kept(self, model: Model) -> None:
        candidates = [plugin("quick", batch_size=size) for size in (1, 2, 4)]
        effort = Effort(most_lines=32, call_lines=16, rounds=MIN_ROUNDS, kept=1)
        rows = measured(model, candidates, effort=effort)[1:]
        timed = [row for row in rows if row.samples]
        assert len(timed) == 1
        looks = [row.look for row in rows if row.look is not None]
        assert len(looks) == 3
        assert timed[0].look == min(looks)
        assert all(row.reason.startswith("left after screening, ") for row in rows if row is not timed[0])


# lines whose text the model cannot write


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Lines of the user: bright ones that the model can write, then dark ones that it cannot."""
    folder = tmp_path / "lines"
    folder.mkdir()
    rng = np.random.default_rng(0)
    labels = []
    for number in range(40):
        dark = number >= 34
        pixels = rng.integers(0, 60, (48, 400, 3)) + (0 if dark else 190)
        assert cv2.imwrite(str(folder / f"{number:03}.png"), pixels.astype(np.uint8))
        labels.append(f"{number:03}.png\t{'字' if dark else 'ab'}\n")
    (folder / "labels.txt").write_text("".join(labels), "utf-8")
    return folder


@pytest.mark.usefixtures("plugins")
def test_lines_that_the_model_cannot_write_are_read_and_decide_nothing(model: Model, labelled: Path) -> None:
    rows = measured(model, [low("rough")], effort=Effort(call_lines=16, rounds=MIN_ROUNDS), lines=labelled)
    gate = rows[1].gate
    assert gate is not None
    assert (gate.lines, gate.changed, gate.apart, gate.apart_changed) == (34, 0, 6, 6)
    # What verifies it is no quicker, since it reads otherwise only what decides nothing.
    assert choose(rows, Objective()).winner == 1


# the independence of a line from its batch


@pytest.fixture
def trial_of(model: Model, tmp_path: Path) -> Iterator[Callable[[ExecutionPlan], Trial]]:
    """A trial that has read the first lines."""
    started: list[Trial] = []

    def start(setup: ExecutionPlan) -> Trial:
        one = Trial(setup, Job(model, None, None, "throughput", 16, tmp_path / "logs"), len(started))
        started.append(one)
        one.start(None)
        one.read_to(32, None)
        return one

    yield start
    for one in started:
        one.close()


@pytest.mark.usefixtures("plugins")
def test_text_that_depends_on_the_batch_is_rejected_in_fp32(model: Model) -> None:
    (_, moody) = measured(model, [plugin("moody", batch_size=4)], effort=SHORT)
    assert moody.outcome == "rejected"
    assert moody.reason.startswith("it read ")
    assert moody.reason.endswith(" on the same line")
    assert " and, beside other lines, " in moody.reason
    assert moody.remarks == ()


@pytest.mark.usefixtures("plugins")
def test_in_a_low_precision_it_is_a_remark(model: Model) -> None:
    (_, swaying) = measured(model, [low("swaying", batch_size=4)], effort=SHORT)
    assert swaying.outcome == "measured"
    (remark,) = swaying.remarks
    assert " of 32 texts depend on the lines beside them: it read " in remark
    assert int(remark.split()[0]) > 0
    assert "beside other lines" not in swaying.reason


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("batch_size", [1, 4])
def test_what_verifies_promises_it_again(trial_of: Callable[[ExecutionPlan], Trial], batch_size: int) -> None:
    verified = Verified(low=low("swaying", batch_size=batch_size), full=NORMAL, threshold=0.2)
    one = trial_of(verified)
    if batch_size == 1:
        one.read_shuffled(None)
    else:
        with pytest.raises(Rejected, match="beside other lines"):
            one.read_shuffled(None)
    assert one.remarks == []


@pytest.mark.usefixtures("plugins")
def test_alone_or_with_steady_texts_nothing_is_said(trial_of: Callable[[ExecutionPlan], Trial]) -> None:
    for setup in (plugin("moody"), plugin("quick", batch_size=4), low("rough", batch_size=4)):
        one = trial_of(setup)
        one.read_shuffled(None)
        assert one.remarks == []


# what it costs to meet a shape for the first time


@pytest.mark.usefixtures("plugins")
def test_shapes_that_end_are_met_before_the_rounds_and_what_that_costs_is_told(
    trial_of: Callable[[ExecutionPlan], Trial],
) -> None:
    one = trial_of(plugin("compiles", batching="rounded"))
    one.time_screening(None)
    one.meet_shapes(4, None)
    shapes = len(width_ladder(64, 320, 3200))  # of one line each
    assert one.first_sight_ms == pytest.approx(1e3 * Compiles.seconds * shapes / PROMISED_LINES, rel=0.3)
    one.time_round(0, None)
    assert one.samples[0] < 5.0, "new shapes would take 30 ms each"
    assert one.row().times == pytest.approx((one.samples[0] + one.first_sight_ms,))


@pytest.mark.usefixtures("plugins")
def test_shapes_without_end_are_part_of_every_round(trial_of: Callable[[ExecutionPlan], Trial]) -> None:
    one = trial_of(plugin("compiles"))
    one.time_screening(None)
    one.meet_shapes(4, None)
    one.time_round(0, None)
    one.time_round(1, None)
    assert one.first_sight_ms == 0.0
    assert min(one.samples) > 5.0
    assert one.row().times == tuple(one.samples)


def test_each_round_reads_another_part_of_the_stream(model: Model, tmp_path: Path) -> None:
    job = Job(model, None, None, "throughput", 16, tmp_path)
    parts = [job.part(number) for number in range(3)]
    assert [stop - start for start, stop in parts] == [16] * 3
    assert all(one[1] == other[0] for one, other in pairwise(parts))
    assert parts[0][0] > 1000, "no round is what screening read"
