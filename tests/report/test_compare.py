"""Two runs: what got faster or slower beyond noise."""

from __future__ import annotations

import numpy as np
import pytest

from ocrhpi.report.compare import Comparison, as_text, compare, unpaired_ratio
from tests.report.samples import MACHINE, VERSIONS, failed, gpu_row, result, row, unmeasured


def verdicts(comparison: Comparison) -> dict[tuple[str, str], tuple[str, str]]:
    return {(one.model, one.mode): (one.engine.verdict, one.lines.verdict) for one in comparison.changes}


class TestUnpairedRatio:
    def test_it_is_the_ratio_of_the_medians(self) -> None:
        ratio = unpaired_ratio([2.0, 4.0, 6.0], [1.0, 2.0, 3.0, 50.0])
        assert ratio.median == pytest.approx(4 / 2.5)
        assert ratio.low < ratio.median < ratio.high
        assert ratio.rounds == 3

    def test_the_spread_of_either_widens_it(self) -> None:
        steady, wild = [1.0] * 9, np.linspace(0.5, 1.5, 9).tolist()
        for one, other in ((steady, wild), (wild, steady)):
            ratio = unpaired_ratio(one, other)
            assert ratio.low < 0.95
            assert ratio.high > 1.05

    def test_its_interval_holds_the_truth_about_as_often_as_it_says(self) -> None:
        rng = np.random.default_rng(1)
        runs = [unpaired_ratio(*rng.normal(10, 0.5, (2, 15)).tolist()) for _ in range(200)]
        assert sum(ratio.low <= 1 <= ratio.high for ratio in runs) > 180

    @pytest.mark.parametrize("times", [([], [1.0]), ([1.0], [])])
    def test_times_of_both(self, times: tuple[list[float], list[float]]) -> None:
        with pytest.raises(ValueError, match="times of both"):
            unpaired_ratio(*times)


def test_equal_runs_do_not_differ() -> None:
    comparison = compare([row("m")], [row("m", seed=1)])
    assert set(verdicts(comparison).values()) == {("none", "none")}
    assert (comparison.slower, comparison.warnings, comparison.remarks) == ([], [], [])


def test_what_got_faster_and_slower() -> None:
    comparison = compare([row("a"), row("b")], [row("a", high=4.0, seed=1), row("b", onednn=12.0, high=6.0, seed=1)])
    assert verdicts(comparison) == {
        ("a", "plain"): ("none", "none"),
        ("a", "onednn"): ("none", "none"),
        ("a", "high-performance"): ("faster", "faster"),
        ("b", "plain"): ("none", "none"),
        ("b", "onednn"): ("slower", "slower"),
        ("b", "high-performance"): ("slower", "slower"),
    }
    assert [change.model for change in comparison.slower] == ["b"]


def test_a_slower_normal_mode_is_not_our_loss() -> None:
    assert compare([row("m")], [row("m", plain=30.0, onednn=20.0)]).slower == []


def test_less_than_the_margin_is_none() -> None:
    one, other = (row("m", modes=(result("high-performance", ms, spread=0.0001),)) for ms in (10.0, 10.1))
    (change,) = compare([one], [other]).changes
    assert change.engine.ratio is not None
    assert change.engine.ratio.high < 1
    assert change.engine.verdict == "none"


def test_too_few_rounds_prove_nothing() -> None:
    one, other = (row("m", modes=(result("high-performance", ms, rounds=2),)) for ms in (1.0, 9.0))
    comparison = compare([one], [other])
    assert verdicts(comparison) == {("m", "high-performance"): ("open", "open")}
    assert comparison.slower == []
    assert "too few rounds to tell" in as_text(comparison, "A", "B")


@pytest.mark.parametrize(
    "after",
    [
        unmeasured("m", "it crashed"),
        row("m", modes=(result("plain", 20.0), failed("high-performance", "it crashed"))),
    ],
)
def test_what_runs_no_more_is_slower(after: object) -> None:
    comparison = compare([row("m")], [after])  # type: ignore[list-item]
    assert [(change.mode, change.reason) for change in comparison.slower] == [("high-performance", "it crashed")]
    text = as_text(comparison, "A", "B")
    assert "NO TIMES ANY MORE" in text
    assert "m, high-performance: it crashed" in text


def test_models_of_one_run_are_named() -> None:
    comparison = compare([row("a"), unmeasured("c", "no weights")], [row("b"), row("c")])
    assert (comparison.only_before, comparison.only_after, comparison.slower) == (["a"], ["b"], [])
    text = as_text(comparison, "A", "B")
    for part in ("only in the first run: a", "only in the second run: b", "c was not measured in the first run"):
        assert part in text
    assert "No model was measured in both runs." in text


def test_what_makes_runs_hard_to_compare() -> None:
    before = [row("a"), row("b")]
    after = [
        row("a", machine={**MACHINE, "cpu": "Xeon"}, threads=4, fingerprint="cd" * 32),
        row("b", machine={**MACHINE, "cpu": "Xeon"}, unstable="noisy"),
    ]
    warnings = compare(before, after).warnings
    assert [text.split(":")[0] for text in warnings] == [
        *("another machine", "another number of threads", "another weights (fingerprint)"),
        "b was unstable in the second run",
    ]
    assert warnings[0].startswith("another machine: AMD EPYC 9J14")
    assert warnings[1].endswith("(a)")
    assert compare([row("a")], [gpu_row("a")]).warnings[1] == "another device: cpu, then gpu:0"


def test_versions_and_winners_are_remarks() -> None:
    after = row("m", versions={**VERSIONS, "openvino": "2027.1", "tensorrt": "10"})
    first, second = compare([row("m")], [after]).remarks[0].split(", then ")
    assert first == "other versions: openvino 2026.4.1, tensorrt absent"
    assert second == "openvino 2027.1, tensorrt 10"
    plain = result("high-performance", 5.0, setup=result("plain", 1.0).setup)
    (remark,) = compare([row("m")], [row("m", modes=(plain,))]).remarks
    assert remark.startswith("m, high-performance: ran 'openvino, masked 64, batch 8', then 'paddle")
