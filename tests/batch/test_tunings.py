"""Machines of one kind share a tuning; others do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocrhpi import tuner
from ocrhpi.batch import tunings
from ocrhpi.batch.tunings import device_of, find_winner, keep_winner, measure_winner
from ocrhpi.config.reading_options import reading_options
from ocrhpi.machine import describe_machine
from ocrhpi.tuning.cache import Tuning, read_tuning
from tests.report.tuning_samples import tuning

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.config.reading_options import ReadingOptions
    from ocrhpi.tuner import Plan
    from ocrhpi.tuning.progress import OnProgress


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """What was to be measured; it is not, but finished with a sample."""
    plans: list[Plan] = []

    def measure(plan: Plan, on_progress: OnProgress, *, quick: bool) -> Tuning:
        del on_progress
        assert quick == (plan.config.tune != "always")
        plans.append(plan)
        return tuning().model_copy(update={"key": plan.key})

    monkeypatch.setattr(tuner, "tune", measure)
    return plans


def options_at(model_dir: Path, cache: Path, **config: object) -> ReadingOptions:
    return reading_options(model_dir=model_dir, hpi_config={"cache_dir": cache, **config}, device="cpu", threads=1)


def test_measured_once_and_found_from_then_on(tiny_dir: Path, tmp_path: Path, measured: list[Plan]) -> None:
    options = options_at(tiny_dir, tmp_path)
    before = find_winner(options)
    assert before.tuning is None
    assert measure_winner(options).kind == before.kind
    assert measure_winner(options).tuning == find_winner(options).tuning
    assert len(measured) == 1
    assert measured[0].objective.threads == 1
    assert device_of(options) == "cpu"


def test_measured_anew_where_that_is_asked_for(tiny_dir: Path, tmp_path: Path, measured: list[Plan]) -> None:
    options = options_at(tiny_dir, tmp_path, tune="always")
    for _ in range(2):
        assert find_winner(options).tuning is None
        measure_winner(options)
    assert len(measured) == 2
    assert find_winner(options.without_measuring_anew()).tuning is not None


def test_another_machine_of_the_kind_keeps_it(
    tiny_dir: Path, tmp_path: Path, measured: list[Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    winner = measure_winner(options_at(tiny_dir, tmp_path / "one"))
    assert winner.tuning is not None
    there = options_at(tiny_dir, tmp_path / "other")
    assert find_winner(there).kind == winner.kind
    keep_winner(there, {"another kind": winner.tuning})
    assert find_winner(there).tuning is None
    keep_winner(there, {winner.kind: winner.tuning})
    found = measure_winner(there).tuning
    assert found is not None
    assert found.created == winner.tuning.created
    assert len(measured) == 1

    machine = describe_machine()
    monkeypatch.setattr(tuner, "describe_machine", lambda: {**machine, "cpu": "another one"})
    assert find_winner(there).kind != winner.kind
    assert find_winner(there).tuning is None


def test_what_is_kept_already_stays(tiny_dir: Path, tmp_path: Path, measured: list[Plan]) -> None:
    options = options_at(tiny_dir, tmp_path)
    own = measure_winner(options)
    assert own.tuning is not None
    keep_winner(options, {own.kind: own.tuning.model_copy(update={"created": "2000-01-01T00:00:00+00:00"})})
    assert read_tuning(measured[0].path).created == own.tuning.created


def test_what_came_along_is_kept_before_the_model_is_opened(
    tiny_dir: Path, tmp_path: Path, measured: list[Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    winner = measure_winner(options_at(tiny_dir, tmp_path / "one"))
    assert winner.tuning is not None
    there = options_at(tiny_dir, tmp_path / "other")
    monkeypatch.setattr(tunings, "_predictors", {})
    monkeypatch.setattr(tunings, "open_predictor", lambda options: measure_winner(options).tuning)
    opened: object = tunings.shared_predictor(there, {winner.kind: winner.tuning})
    assert isinstance(opened, Tuning)
    assert opened.created == winner.tuning.created
    assert len(measured) == 1
