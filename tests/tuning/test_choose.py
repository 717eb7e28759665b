from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrhpi.config.candidate import Candidate, Verified
from ocrhpi.config.objective import Objective
from ocrhpi.measuring.statistic import MARGIN, MIN_ROUNDS
from ocrhpi.tuning.choose import Choice, RelaxedResult, choose
from ocrhpi.tuning.rows import Change, GateResult, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.config.candidate import ExecutionPlan

LABELLED: dict[str, Any] = {"labelled": 100, "reference_cer": 0.01, "exact": 95, "reference_exact": 95}
SAME = GateResult(lines=200, changed=0, cer=0.01, cer_interval=(0.0, 0.0), exact_interval=(0.0, 0.0), **LABELLED)
CHANGED = GateResult(
    lines=200,
    changed=5,
    examples=(Change(line="1", expected="abc", read="abd"),),
    cer=0.011,
    cer_interval=(-0.001, 0.002),
    exact_interval=(-0.02, 0.01),
    **LABELLED,
)
WORSE = CHANGED.model_copy(update={"cer": 0.05, "cer_interval": (0.03, 0.05), "changed": 50})
PASSING: dict[str, list[GateResult]] = {
    "identical": [SAME],
    "no-loss": [SAME, CHANGED],
    "cer<=2%": [SAME, CHANGED],
    "cer<=0.1": [SAME, CHANGED, WORSE],
}


def row(name: str, samples: Sequence[float], **facts: Any) -> Row:
    """A row whose rounds took so many milliseconds per line."""
    options, batch_size = facts.pop("options", {}), facts.pop("batch_size", 1)
    return Row(
        candidate=Candidate(backend=name, options=options, batch_size=batch_size),
        **{"outcome": "measured", "gate": SAME, "samples": tuple(map(float, samples)), **facts},
    )


def normal(samples: Sequence[float] = (10,) * 5, **facts: Any) -> Row:
    return row("normal", samples, baseline=True, **{"gate": None, **facts})


def winner(rows: Sequence[Row], objective: Objective | None = None) -> str:
    chosen = rows[choose(rows, objective or Objective()).winner].candidate
    assert isinstance(chosen, Candidate)
    return chosen.backend


class TestWinner:
    def test_the_fastest_wins(self) -> None:
        rows = [row("half", [5] * 5), normal(), row("third", [3] * 5)]
        choice = choose(rows, Objective())
        assert (choice.winner, choice.decided, choice.order) == (2, True, (2, 0, 1))
        assert choice.reason == (
            "'third, exact, batch 1' is 3.33x (95 % 3.33 to 3.33) as fast as normal mode in 5 rounds."
        )
        assert [ratio and ratio.median for ratio in choice.ratios] == pytest.approx([2, 1, 10 / 3])

    def test_normal_mode_stays_where_nothing_is_faster(self) -> None:
        choice = choose([normal(), row("slow", [20] * 5), row("same", [9.9] * 5)], Objective())
        assert (choice.winner, choice.decided, choice.order) == (0, True, (0, 2, 1))
        assert choice.reason == (
            "normal mode, 'normal, exact, batch 1', stays: the fastest other that may run, "
            "'same, exact, batch 1', is 1.01x (95 % 1.01 to 1.01) as fast as normal mode in 5 rounds."
        )

    def test_normal_mode_stays_where_it_is_alone(self) -> None:
        choice = choose([normal()], Objective())
        assert (choice.winner, choice.decided, choice.order, choice.next_policy) == (0, True, (0,), None)
        assert choice.reason == "normal mode, 'normal, exact, batch 1', stays: no other candidate may run."
        assert choose([normal(gate=SAME)], Objective()) == choice

    def test_what_is_not_proved_faster_comes_after_normal_mode(self) -> None:
        rows = [row("slow", [20] * 5), row("second", [6] * 5), normal(), row("noisy", [4, 20, 8, 11, 8])]
        rows.append(row("first", [3] * 5))
        assert choose(rows, Objective()).order == (4, 1, 2, 3, 0)

    @pytest.mark.parametrize("baselines", [0, 2])
    def test_there_is_exactly_one_baseline(self, baselines: int) -> None:
        with pytest.raises(ValueError, match=f"exactly one row that is the baseline, got {baselines}"):
            choose([row("other", [1] * 5), *[normal()] * baselines], Objective())

    def test_drift_of_the_machine_falls_out(self) -> None:
        drift = [1, 4, 2, 9, 3]
        choice = choose([normal([10 * d for d in drift]), row("fast", [9 * d for d in drift])], Objective())
        assert (choice.winner, choice.decided) == (1, True)

    def test_rounds_are_aligned_by_number(self) -> None:
        drift = [1, 8, 1, 8, 1, 8]
        late = row("late", [9 * d for d in drift[1:]], first_round=1)
        choice = choose([normal([10 * d for d in drift]), late], Objective())
        assert choice.winner == 1
        assert choice.ratios[1] is not None
        assert choice.ratios[1].rounds == 5
        assert choice.ratios[1].low == pytest.approx(10 / 9)

    def test_too_few_rounds_prove_nothing(self) -> None:
        choice = choose([normal(), row("short", [1] * (MIN_ROUNDS - 1))], Objective())
        assert (choice.winner, choice.decided) == (0, False)
        assert choice.reason.endswith(
            "seems 10.00x (95 % 10.00 to 10.00) as fast as normal mode in 2 rounds, which does not prove more than 2 %."
        )
        assert winner([normal(), row("short", [1] * MIN_ROUNDS)]) == "short"

    def test_a_row_that_starts_when_the_baseline_has_ended_is_not_compared(self) -> None:
        choice = choose([normal(), row("late", [1] * 5, first_round=5)], Objective())
        assert (choice.winner, choice.ratios[1], choice.order) == (0, None, (0, 1))


class TestFirstSight:
    def test_it_is_part_of_every_time(self) -> None:
        one = row("a", [5, 6], first_sight_ms=0.5)
        assert one.times == (5.5, 6.5)
        assert row("a", [5, 6]).times == (5.0, 6.0)

    def test_what_must_meet_shapes_first_loses_to_what_is_as_fast_without(self) -> None:
        rows = [normal(), row("compiles", [4.0] * 5, first_sight_ms=2.0), row("as it is", [5.0] * 5)]
        choice = choose(rows, Objective())
        assert (choice.winner, choice.order) == (2, (2, 1, 0))
        assert choice.ratios[1] is not None
        assert choice.ratios[1].median == pytest.approx(10 / 6)
        assert winner([normal(), row("compiles", [4.0] * 5, first_sight_ms=0.5), row("as it is", [5.0] * 5)]) == (
            "compiles"
        )

    def test_of_two_that_are_otherwise_alike_the_one_with_less_of_it_wins(self) -> None:
        rows = [normal(), row("a", [4.0] * 5, first_sight_ms=1.0), row("b", [4.0] * 5, first_sight_ms=0.5)]
        assert winner(rows) == "b"
        assert winner([rows[0], *rows[:0:-1]]) == "b"

    def test_it_may_keep_normal_mode_and_is_normal_modes_too(self) -> None:
        assert winner([normal(), row("compiles", [5.0] * 5, first_sight_ms=6.0)]) == "normal"
        assert winner([normal(first_sight_ms=2.0), row("compiles", [5.0] * 5, first_sight_ms=6.0)]) == "compiles"

    def test_it_counts_where_latency_is_the_goal_and_not_in_times_measured_besides(self) -> None:
        rows = [normal([20.0] * 5), row("fast", [5.0] * 5, first_sight_ms=2.0, latency=(5.0,) * 5)]
        objective = Objective(goal="latency", max_latency_ms=6.0)
        assert "it takes 7 ms a line" in choose(rows, objective).reason
        assert choose(rows, objective.model_copy(update={"max_latency_ms": 7.0})).winner == 1
        assert choose(rows, objective.model_copy(update={"goal": "throughput"})).winner == 1


class TestTies:
    def test_the_simplest_of_those_within_the_margin_wins(self) -> None:
        complex_one = row("complex", [5.0] * 5, options={"threads": 2, "streams": 2}, batch_size=8)
        rows = [normal(), complex_one, row("simple", [5.09] * 5)]
        choice = choose(rows, Objective())
        assert (choice.winner, choice.decided, choice.order) == (2, True, (2, 1, 0))
        assert "'complex, threads=2, streams=2, exact, batch 8' is as fast within 2 %, but more complex" in (
            choice.reason
        )

    def test_beyond_the_margin_speed_counts(self) -> None:
        fast = row("fast", [5.0] * 5, options={"threads": 2})
        assert winner([normal(), fast, row("simple", [5.11] * 5)]) == "fast"

    def test_of_equally_simple_ones_the_fastest_wins(self) -> None:
        assert winner([normal(), row("a", [5.05] * 5), row("b", [5.0] * 5)]) == "b"

    def test_of_equal_ones_the_name_decides_and_then_the_device(self) -> None:
        assert winner([normal(), row("b", [5] * 5), row("a", [5] * 5)]) == "a"
        devices = [
            row("a", [5] * 5).model_copy(update={"candidate": Candidate(backend="a", device=device)})
            for device in ("gpu:1", "gpu:0")
        ]
        for rows in ([normal(), *devices], [normal(), *devices[::-1]]):
            chosen = rows[choose(rows, Objective()).winner].candidate
            assert isinstance(chosen, Candidate)
            assert chosen.device == "gpu:0"

    @pytest.mark.parametrize(
        "more",
        [
            Candidate(backend="a", batching="split"),
            Verified(low=Candidate(backend="a"), full=Candidate(backend="a"), threshold=0.2),
        ],
        ids=["two graphs", "two readings"],
    )
    def test_what_runs_twice_as_much_is_worth_it_only_if_it_is_faster(self, more: ExecutionPlan) -> None:
        rows = [normal(), row("a", [5.0] * 5), row("x", [4.95] * 5).model_copy(update={"candidate": more})]
        assert choose(rows, Objective()).winner == 1
        rows[2] = row("x", [4.5] * 5).model_copy(update={"candidate": more})
        assert choose(rows, Objective()).winner == 2

    def test_ties_are_paired_by_round(self) -> None:
        drift = [1.0, 1.3, 0.8, 1.1, 0.9]
        fast = row("fast", [5 * d for d in drift], options={"threads": 2})
        simple = row("simple", [5.05 * d for d in drift])
        assert winner([normal([10 * d for d in drift]), fast, simple]) == "simple"
        # By their medians alone, 5 and 5.5, they would not be equal; round by round most often they are.
        fast = row("fast", [4, 5, 6, 5, 5], options={"threads": 2})
        assert winner([normal(), fast, row("simple", [4, 5.5, 6, 5.5, 4.9])]) == "simple"

    def test_a_round_or_two_in_common_are_too_few_to_compare(self) -> None:
        fast = row("fast", [5, 5, 5, 5, 8], options={"threads": 2})
        late = row("late", [7, 7, 7, 7], first_round=4)
        assert winner([normal([10] * 8), fast, late]) == "fast"

    def test_without_common_rounds_the_interval_is_the_widest(self) -> None:
        early = row("early", [10 / 2.2, 10 / 2.1, 10 / 1.9, 10 / 2.1])
        late = row("late", [10 / 2.05, 10 / 1.9, 10 / 1.9, 10 / 1.8], first_round=4)
        choice = choose([normal([10] * 8), early, late], Objective())
        assert (choice.winner, choice.decided) == (1, False)

    def test_rows_of_different_rounds_are_compared_by_their_ratios_to_the_baseline(self) -> None:
        drift = [1.0] * 4 + [3.0] * 4
        early = row("early", [5.0] * 4, options={"threads": 2})
        late = row("late", [3 * 5.05] * 4, first_round=4)
        assert winner([normal([10 * d for d in drift]), early, late]) == "late"
        much_slower = row("late", [3 * 6.0] * 4, first_round=4)
        choice = choose([normal([10 * d for d in drift]), early, much_slower], Objective())
        assert (choice.winner, choice.decided) == (1, True)


class TestUndecided:
    def test_a_candidate_that_seems_faster_within_the_noise(self) -> None:
        choice = choose([normal(), row("noisy", [4, 20, 8, 11, 8])], Objective())
        assert (choice.winner, choice.decided, choice.order) == (0, False, (0, 1))
        assert choice.reason == (
            "normal mode, 'normal, exact, batch 1', stays: 'noisy, exact, batch 1' seems 1.25x (95 % 0.50 to 2.50) "
            "as fast as normal mode in 5 rounds, which does not prove more than 2 %."
        )

    def test_a_candidate_that_seems_as_fast_is_no_question(self) -> None:
        assert choose([normal(), row("noisy", [4, 20, 9.9, 11, 9.8])], Objective()).decided

    def test_a_runner_up_that_may_be_faster(self) -> None:
        rows = [normal(), row("steady", [5.0] * 5), row("noisy", [4, 7, 5.5, 6, 4.5])]
        choice = choose(rows, Objective())
        assert (choice.winner, choice.decided) == (1, False)
        assert "whether 'noisy, exact, batch 1' is faster still is not clear: it is 0.91x" in choice.reason
        rows[2] = row("noisy", [6, 7, 5.5, 6, 5.2])
        assert choose(rows, Objective()).decided

    def test_one_that_seems_fastest_but_is_not_proved(self) -> None:
        choice = choose([normal(), row("steady", [5.0] * 5), row("wild", [2, 11, 3, 12, 3])], Objective())
        assert (choice.winner, choice.decided) == (1, False)
        choice = choose([normal(), row("steady", [5.0] * 5), row("wild", [4, 11, 6, 12, 6])], Objective())
        assert (choice.winner, choice.decided) == (1, True)

    def test_a_baseline_without_timings(self) -> None:
        rows = [normal([], outcome="rejected", reason="it crashed"), row("fast", [1] * 5)]
        choice = choose(rows, Objective())
        assert (choice.winner, choice.decided, choice.order) == (0, False, (0, 1))


class TestAccuracy:
    def test_the_next_policy_is_told_if_it_gives_more(self) -> None:
        rows = [normal(), row("exact", [5] * 5), row("loose", [2.5] * 5, gate=CHANGED), row("bad", [1] * 5, gate=WORSE)]
        choice = choose(rows, Objective())
        assert (choice.winner, choice.order) == (1, (1, 0))
        assert choice.next_policy == RelaxedResult(accuracy="no-loss", row=2, gain=2.0)
        assert choice.reason.endswith(
            "; 'bad, exact, batch 1' would be 5.00x (95 % 5.00 to 5.00) as fast as the winner, "
            "but 50 of 200 texts changed, for example 'abc' became 'abd'."
        )
        choice = choose(rows, Objective(accuracy="no-loss"))
        assert (choice.winner, choice.next_policy) == (2, None)

    def test_the_next_policy_must_give_clearly_more(self) -> None:
        exact, loose = row("exact", [5] * 5), row("loose", [4.95] * 5, gate=CHANGED)
        assert choose([normal(), exact, loose], Objective()).next_policy is None
        noisy = row("loose", [2, 6, 4, 3, 4], gate=CHANGED)
        assert choose([normal(), exact, noisy], Objective()).next_policy is None

    def test_of_those_of_the_next_policy_the_simplest_clearly_faster_one_is_told(self) -> None:
        rows = [
            normal(),
            row("exact", [5.0] * 5),
            row("barely", [4.95] * 5, gate=CHANGED),
            row("fast", [4.8] * 5, gate=CHANGED, options={"threads": 1}),
            row("plain", [4.85] * 5, gate=CHANGED),
        ]
        chosen = choose(rows, Objective()).next_policy
        assert chosen is not None
        assert chosen.row == 4

    def test_why_the_faster_were_refused(self) -> None:
        crashed = row("crashed", [1] * 2, outcome="rejected", reason="it crashed in round 3.")
        choice = choose([normal(), crashed], Objective())
        assert choice.reason.endswith(
            "no other candidate may run; 'crashed, exact, batch 1' would be 10.00x "
            "(95 % 10.00 to 10.00) as fast as the winner, but it crashed in round 3."
        )
        assert choose([normal(), row("unread", [1] * 5, gate=None)], Objective()).winner == 0


class TestBounds:
    def test_latency_of_throughput_candidates(self) -> None:
        rows = [
            normal(latency=(10.0,) * 3),
            row("batched", [2] * 5, latency=(30.0, 8.0, 31.0)),
            row("single", [5] * 5, latency=(6.0,) * 3),
            row("unknown", [1] * 5),
        ]
        assert winner(rows) == "unknown"
        choice = choose(rows, Objective(max_latency_ms=25.0))
        assert (choice.winner, choice.order) == (2, (2, 0))
        assert "were not measured, where at most 25 are allowed" in choice.reason
        assert winner(rows, Objective(max_latency_ms=30.0)) == "batched"

    def test_latency_where_it_is_the_goal(self) -> None:
        rows = [normal([20.0] * 5), row("fast", [14.0] * 5, latency=(1.0,) * 5)]
        objective = Objective(goal="latency", max_latency_ms=13.0)
        assert winner(rows, objective) == "normal"  # 14 ms, whatever stands in latency
        assert winner(rows, objective.model_copy(update={"max_latency_ms": 14.0})) == "fast"

    def test_memory(self) -> None:
        rows = [normal(peak_mib=100.0), row("big", [2] * 5, peak_mib=900.0), row("small", [5] * 5, peak_mib=300.0)]
        rows.append(row("unknown", [1] * 5))
        choice = choose(rows, Objective(max_memory_mib=300.0))
        assert (choice.winner, choice.order) == (2, (2, 0))
        assert winner(rows[:3], Objective(max_memory_mib=899.0)) == "small"
        assert winner(rows[:3], Objective(max_memory_mib=900.0)) == "big"
        assert "it takes 900 MiB of memory, where at most 300 are allowed" in (
            choose(rows[:3], Objective(max_memory_mib=300.0)).reason
        )

    def test_a_baseline_that_breaks_a_bound_gives_way_to_any_that_is_not_slower(self) -> None:
        big = normal(peak_mib=900.0)
        objective = Objective(max_memory_mib=500.0)
        as_fast = row("as fast", [9.5, 10.5, 10.1, 10.2, 9.8], peak_mib=300.0)
        choice = choose([big, as_fast], objective)
        assert (choice.winner, choice.order) == (1, (1, 0))
        assert "normal mode is out of the question: it takes 900 MiB of memory" in choice.reason
        assert winner([normal(peak_mib=400.0), as_fast], objective) == "normal"
        slower = row("slower", [11.0] * 5, peak_mib=300.0)
        choice = choose([big, slower], objective)
        assert (choice.winner, choice.decided, choice.order) == (0, True, (0, 1))
        assert "although it takes 900 MiB of memory, where at most 500 are allowed" in choice.reason
        assert winner([big, slower, row("fast but big", [1.0] * 5, peak_mib=600.0)], objective) == "normal"


# --- properties -----------------------------------------------------------------------------------------------------

NAMES = ("a", "b", "c", "d", "e")
FEW = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@st.composite
def samples_of(draw: st.DrawFn, speed: float, most_rounds: int = 8) -> tuple[float, ...]:
    """Rounds of one row: a speed, and noise about it."""
    noise = draw(st.sampled_from([0.0, 0.01, 0.1, 0.8]))
    count = draw(st.integers(0, most_rounds))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    return tuple(map(float, 10 / speed * np.exp(rng.normal(0, noise, count))))


@st.composite
def some_row(draw: st.DrawFn, name: str) -> Row:
    speed = draw(st.one_of(st.sampled_from([1.0, 1.02, 2.0, 2.03]), st.floats(0.3, 4.0)))
    return Row(
        candidate=Candidate(
            backend=name,
            options={"threads": 2} if draw(st.booleans()) else {},
            batching=draw(st.sampled_from(["exact", "masked"])),
        ),
        outcome=draw(st.sampled_from(["measured", "measured", "measured", "measured", "rejected", "skipped"])),
        baseline=name == "normal",
        gate=draw(st.sampled_from([SAME, SAME, SAME, CHANGED, WORSE, None])),
        peak_mib=draw(st.sampled_from([100.0, 100.0, 900.0, None])),
        first_round=draw(st.sampled_from([0, 0, 0, 1, 3])),
        samples=draw(samples_of(speed)),
        first_sight_ms=draw(st.sampled_from([0.0, 0.0, 0.25, 4.0])),
        latency=draw(samples_of(speed, 3)),
    )


@st.composite
def tables(draw: st.DrawFn) -> list[Row]:
    rows = [draw(some_row(name)) for name in NAMES[: draw(st.integers(0, len(NAMES)))]]
    rows.insert(draw(st.integers(0, len(rows))), draw(some_row("normal")))
    return rows


QUESTIONS = st.builds(
    Objective,
    goal=st.sampled_from(["throughput", "latency"]),
    accuracy=st.sampled_from(list(PASSING)),
    max_latency_ms=st.sampled_from([None, None, 6.0, 20.0]),
    max_memory_mib=st.sampled_from([None, None, 500.0]),
)


def holds_bounds(one: Row, objective: Objective) -> bool:
    sight = one.first_sight_ms
    latency = [sample + sight for sample in one.samples] if objective.goal == "latency" else one.latency
    return (
        objective.max_latency_ms is None or (bool(latency) and statistics.median(latency) <= objective.max_latency_ms)
    ) and (objective.max_memory_mib is None or (one.peak_mib or 1e9) <= objective.max_memory_mib)


def seems_as_fast(one: Row, baseline: Row) -> bool:
    """Whether at least half of the rounds say that it is as fast, in a plain way of their own."""
    own = {one.first_round + i: sample + one.first_sight_ms for i, sample in enumerate(one.samples)}
    others = {baseline.first_round + i: sample + baseline.first_sight_ms for i, sample in enumerate(baseline.samples)}
    rounds = [own[number] <= others[number] for number in own.keys() & others.keys()]
    return len(rounds) >= MIN_ROUNDS and 2 * sum(rounds) >= len(rounds)


@FEW
@given(tables(), QUESTIONS)
def test_only_rows_that_passed_everything_may_run(rows: list[Row], objective: Objective) -> None:
    choice = choose(rows, objective)
    assert choice.order[0] == choice.winner
    assert len(set(choice.order)) == len(choice.order)
    assert any(rows[number].baseline for number in choice.order)
    for number in choice.order:
        one = rows[number]
        if not one.baseline:
            assert one.outcome == "measured"
            assert one.gate in PASSING[objective.accuracy]
            assert holds_bounds(one, objective)


@FEW
@given(tables(), QUESTIONS)
def test_the_winner_is_not_slower_than_the_baseline(rows: list[Row], objective: Objective) -> None:
    choice = choose(rows, objective)
    baseline = next(one for one in rows if one.baseline)
    ratio = choice.ratios[choice.winner]
    if choice.winner != rows.index(baseline):
        assert ratio is not None
        assert ratio.rounds >= MIN_ROUNDS
        if holds_bounds(baseline, objective):
            assert ratio.low > 1 + MARGIN
            assert seems_as_fast(rows[choice.winner], baseline)
        else:
            assert ratio.high >= 1
            assert holds_bounds(rows[choice.winner], objective)


@FEW
@given(tables(), QUESTIONS)
def test_the_winner_is_the_fastest_that_is_proved_or_simpler(rows: list[Row], objective: Objective) -> None:
    choice = choose(rows, objective)
    baseline = next(one for one in rows if one.baseline)
    proved = {
        number: ratio.median
        for number in choice.order
        if (ratio := choice.ratios[number]) and ratio.rounds >= MIN_ROUNDS and ratio.low > 1 + MARGIN
    }
    if proved and holds_bounds(baseline, objective):
        best = max(proved, key=lambda number: proved[number])
        assert choice.winner in proved
        assert (
            proved[choice.winner] == proved[best]
            or rows[choice.winner].candidate.complexity < rows[best].candidate.complexity
        )


@FEW
@given(tables(), QUESTIONS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[Row], objective: Objective, rng: Any) -> None:
    order = list(range(len(rows)))
    rng.shuffle(order)
    first, second = choose(rows, objective), choose([rows[number] for number in order], objective)
    assert order[second.winner] == first.winner
    assert tuple(order[number] for number in second.order) == first.order
    assert (second.decided, second.reason) == (first.decided, first.reason)
    assert [first.ratios[number] for number in order] == list(second.ratios)


@FEW
@given(tables(), QUESTIONS, st.sampled_from([2.0**-7, 0.5, 2.0, 1024.0]))  # powers of two: not one bit is rounded
def test_slower_clocks_do_not_matter(rows: list[Row], objective: Objective, factor: float) -> None:
    def scaled(one: Row) -> Row:
        times = {name: tuple(factor * time for time in getattr(one, name)) for name in ("samples", "latency")}
        return one.model_copy(update={**times, "first_sight_ms": factor * one.first_sight_ms})

    slower = list(map(scaled, rows))
    bound = objective.max_latency_ms
    wider = objective.model_copy(update={"max_latency_ms": None if bound is None else factor * bound})
    first, second = choose(rows, objective), choose(slower, wider)
    assert (second.winner, second.decided, second.order) == (first.winner, first.decided, first.order)
    assert (second.ratios, second.next_policy) == (first.ratios, first.next_policy)


@FEW
@given(tables(), QUESTIONS)
def test_a_looser_policy_is_told_only_if_it_gives_more(rows: list[Row], objective: Objective) -> None:
    choice = choose(rows, objective)
    if choice.next_policy is not None:
        assert (objective.accuracy, choice.next_policy.accuracy) == ("identical", "no-loss")
        assert rows[choice.next_policy.row].gate in PASSING["no-loss"]
        assert choice.next_policy.gain > 1 + MARGIN
        relaxed = choose(rows, objective.model_copy(update={"accuracy": "no-loss"}))
        assert relaxed.winner != choice.winner


@FEW
@given(tables(), QUESTIONS)
def test_a_choice_fits_into_a_file(rows: list[Row], objective: Objective) -> None:
    choice = choose(rows, objective)
    assert Choice.model_validate_json(choice.model_dump_json()) == choice
    assert choice.reason.endswith(".")
    assert ".." not in choice.reason
    assert "None" not in choice.reason


@FEW
@given(st.lists(st.sampled_from([1e-9, 1e-3, 1.0, 1e3, 1e9]), min_size=20, max_size=20))
def test_absurd_times_never_raise(times: list[float]) -> None:
    choice = choose(
        [normal(times[:5]), row("a", times[5:10]), row("b", times[10:15]), row("c", times[15:])], Objective()
    )
    assert choice.order[0] == choice.winner


@pytest.mark.parametrize("ms", [0.0, -1.0, float("nan")])
def test_times_are_above_zero(ms: float) -> None:
    for name in ("samples", "latency"):
        with pytest.raises(ValueError, match=r"greater than 0|finite"):
            Row.model_validate({"candidate": Candidate(backend="a"), "outcome": "measured", name: (1.0, ms)})
