"""The table of regrets."""

from __future__ import annotations

from benchmarks.regret import Outcome, table


def outcome(mode: str, regret: float) -> Outcome:
    return Outcome("m", "throughput", "identical", mode, 60.0, "split", "masked", regret, 4.0, 0)


def test_a_winner_that_is_not_in_the_grid_has_no_regret() -> None:
    lines = list(table([outcome("thorough", -0.2), outcome("thorough", 0.04), outcome("quick", 0.1)]))
    assert lines[-2:] == ["thorough: median regret 2.0%, worst 4.0%.", "quick: median regret 10.0%, worst 10.0%."]
    assert "| m | throughput | identical | thorough | 60 | split | masked | -20.0% | 4.00x | 0 |" in lines
