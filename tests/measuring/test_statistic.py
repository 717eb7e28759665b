from __future__ import annotations

import numpy as np
import pytest

from ocrhpi.measuring.statistic import Ratio, paired_rate_interval, paired_ratio


class TestPairedRatio:
    def test_one_round_has_no_interval(self) -> None:
        assert paired_ratio([3.0], [2.0]) == Ratio(median=1.5, low=1.5, high=1.5, rounds=1)

    def test_the_drift_of_the_machine_falls_out(self) -> None:
        drift = np.linspace(1, 10, 15)
        ratio = paired_ratio((3 * drift).tolist(), (2 * drift).tolist())
        assert (ratio.median, ratio.low, ratio.high) == pytest.approx((1.5, 1.5, 1.5))

    def test_the_interval_holds_the_median_and_stays_within_the_samples(self) -> None:
        ratio = paired_ratio([1.0, 2.0, 3.0, 4.0, 50.0], [1.0] * 5)
        assert 1 <= ratio.low < ratio.median == 3 < ratio.high <= 50

    def test_one_outlier_of_many_rounds_does_not_widen_it(self) -> None:
        assert paired_ratio([2.0] * 14 + [50.0], [1.0] * 15).high == 2

    def test_equal_samples_have_equal_intervals(self) -> None:
        times = np.random.default_rng(0).uniform(1, 2, 9).tolist()
        assert paired_ratio(times, [1.0] * 9) == paired_ratio(times, [1.0] * 9)

    @pytest.mark.parametrize(("numerators", "denominators"), [([], []), ([1.0], [1.0, 2.0])])
    def test_rounds_must_match(self, numerators: list[float], denominators: list[float]) -> None:
        with pytest.raises(ValueError, match=r"at least one round|zip\(\)"):
            paired_ratio(numerators, denominators)

    def test_it_fits_into_a_file(self) -> None:
        ratio = paired_ratio([2.0, 4.0, 5.0], [1.0, 2.0, 2.0])
        assert Ratio.model_validate_json(ratio.model_dump_json()) == ratio


class TestPairedRateInterval:
    def test_lines_without_a_difference_have_no_width(self) -> None:
        assert paired_rate_interval([0] * 50, [7] * 50) == (0, 0)

    def test_it_is_around_the_rate(self) -> None:
        low, high = paired_rate_interval([1] * 10 + [0] * 90, [2] * 100)
        assert 0.015 < low < 0.05 < high < 0.085  # 0.05, give or take twice 0.015

    def test_it_is_the_interval_of_drawing_lines_one_by_one(self) -> None:
        rng = np.random.default_rng(3)
        differences, sizes = rng.integers(-1, 3, 60), rng.integers(1, 30, 60)
        drawn = rng.integers(0, 60, (20_000, 60))
        expected = np.percentile(differences[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [2.5, 97.5])
        found = paired_rate_interval(differences.tolist(), sizes.tolist())
        assert found == pytest.approx(expected, abs=0.004)

    def test_gains_and_losses_that_even_out_are_no_difference(self) -> None:
        low, high = paired_rate_interval([1, -1] * 20, [5] * 40)
        assert low < 0 < high

    def test_many_lines_are_no_burden(self) -> None:
        low, high = paired_rate_interval([1] + [0] * 200_000, [10] * 200_001)
        assert low == 0 < high < 1e-5

    @pytest.mark.parametrize(("differences", "sizes"), [([], []), ([1], [1, 2])])
    def test_lines_must_match(self, differences: list[int], sizes: list[int]) -> None:
        with pytest.raises(ValueError, match=r"at least one line|zip\(\)"):
            paired_rate_interval(differences, sizes)
