"""Quick and thorough tunings: which of them is asked for, which result is enough, and which is kept."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi import tuner
from ocrhpi.config.hpi_config import read_hpi_config
from ocrhpi.model import ModelFiles
from ocrhpi.tuner import find_or_tune
from ocrhpi.tuning import measure as measure_module
from ocrhpi.tuning.cache import find, read_tuning, save
from ocrhpi.tuning.progress import QUICK, THOROUGH
from tests.report.tuning_samples import rows, tuning
from tests.tuning.fileless import fileless_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrhpi.config.objective import Objective
    from ocrhpi.model import Model
    from ocrhpi.tuner import Plan
    from ocrhpi.tuning.cache import Tuning
    from ocrhpi.tuning.calibration import CalibrationSet
    from ocrhpi.tuning.candidates import Grid
    from ocrhpi.tuning.progress import Budget, Effort, OnProgress
    from ocrhpi.tuning.rows import Row

MODEL = fileless_model(
    ModelFiles(paddle_graph=Path("m/inference.json"), paddle_parameters=Path("m/inference.pdiparams"))
)


def sample(plan: Plan, *, quick: bool) -> Tuning:
    created = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return tuning().model_copy(update={"key": plan.key, "quick": quick, "created": created})


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which tunings were made; none is, but finished with a sample."""
    kinds: list[str] = []

    def tune(plan: Plan, on_progress: OnProgress, *, quick: bool = False) -> Tuning:
        del on_progress
        kinds.append("quick" if quick else "thorough")
        return sample(plan, quick=quick)

    monkeypatch.setattr(tuner, "tune", tune)
    return kinds


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., Plan]:
    def make(**asked: Any) -> Plan:
        return tuner.plan(MODEL, read_hpi_config({"cache_dir": tmp_path, **asked}), "cpu")

    return make


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({}, "quick"),
        ({"tune": "auto"}, "quick"),
        ({"tune": "quick"}, "quick"),
        ({"tune": "quick", "budget_s": 60}, "quick"),
        ({"budget_s": 60}, "thorough"),
        ({"tune": "auto", "budget_s": 5}, "thorough"),
        ({"tune": "always"}, "thorough"),
        ({"tune": "always", "budget_s": 5}, "thorough"),
    ],
    ids=str,
)
def test_which_is_made_where_nothing_is_kept(
    plan: Callable[..., Plan], made: list[str], asked: dict[str, Any], kind: str
) -> None:
    planned = plan(**asked)
    found = find_or_tune(planned)
    assert made == [kind]
    assert found is not None
    assert found.quick == (kind == "quick")
    assert read_tuning(planned.path).quick == found.quick


def test_never_makes_none_and_takes_either(plan: Callable[..., Plan], made: list[str]) -> None:
    planned = plan(tune="never", budget_s=5)
    assert find_or_tune(planned) is None
    for quick in (True, False):
        assert save(sample(planned, quick=quick), planned.path)
        found = find_or_tune(planned)
        assert found is not None
        assert found.quick == quick
    assert made == []


def test_a_thorough_one_takes_the_place_of_a_quick_one_and_is_enough_from_then_on(
    plan: Callable[..., Plan], made: list[str]
) -> None:
    for _ in range(2):
        assert find_or_tune(plan()) is not None
    assert made == ["quick"], "the second time it is found"
    for _ in range(2):
        found = find_or_tune(plan(budget_s=30))
        assert found is not None
        assert not found.quick
    assert made == ["quick", "thorough"]
    for asked in ({}, {"tune": "quick"}, {"tune": "never"}, {"budget_s": 99}):
        found = find_or_tune(plan(**asked))
        assert found is not None
        assert not found.quick
    assert made == ["quick", "thorough"], "a thorough one is enough for all"


def test_a_quick_one_does_not_last_where_a_thorough_one_is_asked_for_and_the_reason_is_said(
    plan: Callable[..., Plan], made: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    find_or_tune(plan())
    caplog.clear()
    with caplog.at_level(logging.INFO, "ocrhpi"):
        find_or_tune(plan(budget_s=30))
    assert made == ["quick", "thorough"]
    assert "what is kept is from a quick look" in caplog.records[0].getMessage()


def test_always_measures_again_and_thoroughly(plan: Callable[..., Plan], made: list[str]) -> None:
    for _ in range(2):
        find_or_tune(plan(tune="always"))
    assert made == ["thorough"] * 2


def test_all_ask_for_the_same_file(plan: Callable[..., Plan]) -> None:
    plans = [plan(**asked) for asked in ({}, {"budget_s": 5}, {"tune": "quick"}, {"tune": "always"})]
    assert len({one.path for one in plans}) == 1
    assert all(one.key == plans[0].key for one in plans)


def test_what_another_process_made_meanwhile_is_taken_if_it_is_enough(
    plan: Callable[..., Plan], made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = plan()
    looks: list[object] = []

    def find_later(*asked: Any) -> object:
        looks.append(asked)
        if len(looks) == 2:  # in the lock
            save(sample(planned, quick=True), planned.path)
        return find(*asked)

    monkeypatch.setattr(tuner, "find", find_later)
    assert find_or_tune(planned) is not None
    assert made == []
    looks.clear()
    planned.path.unlink()
    found = find_or_tune(replace(planned, config=plan(budget_s=5).config))
    assert found is not None
    assert not found.quick
    assert made == ["thorough"]


@pytest.mark.usefixtures("made")
def test_a_quick_look_says_what_it_chose_and_how_to_measure_thoroughly(
    plan: Callable[..., Plan], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "ocrhpi"):
        find_or_tune(plan())
    said = [record.getMessage() for record in caplog.records if "quick look" in record.getMessage()]
    winner = tuning().setups[0].name
    assert said == [f"high-performance mode: {winner}, after a quick look of 58 s; 'ocrhpi tune' measures thoroughly"]
    caplog.clear()
    with caplog.at_level(logging.INFO, "ocrhpi"):
        find_or_tune(plan(tune="always"))
    assert "after a quick look" not in caplog.text


def test_what_each_of_them_measures(plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Grid, float, Effort]] = []

    def measure(
        _model: Model,
        grid: Grid,
        _calibration: CalibrationSet,
        _question: Objective,
        budget: Budget,
        *,
        effort: Effort,
        **_more: Any,
    ) -> tuple[Row, ...]:
        seen.append((grid, budget.seconds, effort))
        return rows()

    monkeypatch.setattr(measure_module, "measure", measure)
    planned = plan(budget_s=33)
    assert tuner.tune(planned, quick=True).quick
    assert not tuner.tune(planned).quick
    (grid, seconds, effort), (every, longer, most) = seen
    assert (grid.candidates, grid.left_out) == (planned.grid.likely, ())
    assert every == planned.grid
    assert len(grid.candidates) <= 3 < len(every.candidates)
    assert (effort, most, longer) == (QUICK, THOROUGH, 33)
    assert seconds < 33
