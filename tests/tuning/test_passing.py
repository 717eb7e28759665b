"""What failed in a way that may pass is measured again, and a baseline that dies keeps nobody from reading."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ocrhpi import tuner
from ocrhpi.config.hpi_config import read_hpi_config
from ocrhpi.errors import TuningError
from ocrhpi.loader import load_high_performance, load_predictor
from ocrhpi.model import ModelFiles
from ocrhpi.tuner import find_or_tune, tuning_or_none
from ocrhpi.tuning import measure as measure_module
from ocrhpi.tuning import trial
from ocrhpi.tuning.cache import find, read_tuning, save
from ocrhpi.tuning.rows import Passing, Row
from ocrhpi.tuning.trial import Rejected
from tests.report.tuning_samples import BF16, OPENVINO, PADDLE, rows, timed, tuning
from tests.tiny_onnx import tiny_onnx_model
from tests.tuning.fileless import fileless_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrhpi.tuner import Plan
    from ocrhpi.tuning.cache import Tuning
    from ocrhpi.tuning.progress import OnProgress

MODEL = fileless_model(
    ModelFiles(paddle_graph=Path("m/inference.json"), paddle_parameters=Path("m/inference.pdiparams"))
)
NORMAL = timed(PADDLE, 10.0, baseline=True)
QUICKER = timed(OPENVINO, 4.4)


def failed(passing: Passing = "killed") -> Row:
    return Row(candidate=BF16, outcome="rejected", reason="loading: died of SIGKILL", passing=passing)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was told; less is told, too, where a test has set another level."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def made(*measured: Row, **facts: Any) -> Tuning:
    created = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return tuning(measured).model_copy(update={"created": created, **facts})


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., Plan]:
    return lambda **asked: tuner.plan(MODEL, read_hpi_config({"cache_dir": tmp_path, **asked}), "cpu")


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Row, ...]]:
    """What the tunings to come measure, the first one first; nothing is measured."""
    coming: list[tuple[Row, ...]] = []

    def tune(plan: Plan, on_progress: OnProgress, *, quick: bool = False) -> Tuning:
        del on_progress
        return made(*coming.pop(0), key=plan.key, quick=quick)

    monkeypatch.setattr(tuner, "tune", tune)
    return coming


@pytest.mark.parametrize(
    ("measured", "provisional"),
    [
        ((NORMAL, QUICKER), False),
        ((NORMAL, QUICKER, failed("")), False),
        ((NORMAL, failed("")), False),
        ((NORMAL, failed("disk")), True),
        ((NORMAL, failed("time")), True),
        ((NORMAL, QUICKER, failed("disk")), True),
        ((NORMAL, QUICKER, failed("killed")), True),
        ((NORMAL, QUICKER, failed("time")), False),  # it would hardly have won
    ],
)
def test_which_results_rest_on_faults_that_may_pass(measured: tuple[Row, ...], provisional: bool) -> None:
    assert made(*measured).provisional == provisional


def test_such_a_result_is_marked_in_the_file_told_and_measured_again(
    plan: Callable[..., Plan], results: list[tuple[Row, ...]], caplog: pytest.LogCaptureFixture
) -> None:
    results += [(NORMAL, failed("disk"), failed("disk")), (NORMAL, QUICKER)]
    first = find_or_tune(plan())
    assert first is not None
    assert first.choice.winner == 0
    assert "passing: disk" in plan().path.read_text("utf-8")
    (told,) = warnings(caplog)
    assert told.startswith("this is measured again the next time: openvino")
    assert told.endswith("and 1 more of 3 candidates failed, which may pass")
    caplog.clear()
    second = find_or_tune(plan())
    assert second is not None
    assert second.choice.winner == 1
    (told,) = warnings(caplog)
    assert told.startswith("measuring anew: openvino")
    assert find_or_tune(plan()) == read_tuning(plan().path), "and is found from then on"


def test_what_fails_each_time_is_taken_for_its_own_fault_but_never_a_full_disk(
    plan: Callable[..., Plan], results: list[tuple[Row, ...]]
) -> None:
    results += [(NORMAL, failed("killed"))] * 3
    for attempt in (1, 2, 3, 3, 3):
        found = find_or_tune(plan())
        assert found is not None
        assert found.attempt == attempt
    assert not results
    plan().path.unlink()
    results += [(NORMAL, failed("disk"))] * 5
    for _ in range(5):
        find_or_tune(plan())
    assert not results


def test_never_takes_it_as_it_is(plan: Callable[..., Plan], results: list[tuple[Row, ...]]) -> None:
    results.append((NORMAL, failed("disk")))
    found = find_or_tune(plan())
    assert found is not None
    assert find_or_tune(plan(tune="never")) == read_tuning(plan().path)


def test_those_who_waited_take_what_was_measured_meanwhile(
    plan: Callable[..., Plan], results: list[tuple[Row, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = plan()
    looked: list[object] = []

    def find_later(*asked: Any) -> Any:
        looked.append(asked)
        if len(looked) == 2:  # in the lock
            later = (datetime.now(timezone.utc) + timedelta(seconds=1)).isoformat()
            save(made(NORMAL, failed("disk"), key=planned.key, quick=True, created=later), planned.path)
        return find(*asked)

    monkeypatch.setattr(tuner, "find", find_later)
    found = find_or_tune(planned)
    assert found is not None
    assert found.provisional
    assert not results


@pytest.mark.parametrize("quick", [False, True])
def test_it_does_not_replace_what_was_measured_without_such_faults(tmp_path: Path, quick: bool) -> None:
    place = tmp_path / "a.yml"
    assert save(made(NORMAL, QUICKER, quick=quick), place)
    assert not save(made(NORMAL, failed(), quick=quick), place)
    assert read_tuning(place).choice.winner == 1
    if quick:
        assert save(made(NORMAL, failed()), place), "a thorough one does"
        assert save(made(NORMAL, QUICKER, quick=True), place), "and is no better than a quick look without faults"


def test_where_it_cannot_be_kept_this_process_finds_it_all_the_same(
    plan: Callable[..., Plan], results: list[tuple[Row, ...]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "hpi").touch()
    results.append((NORMAL, QUICKER))
    for _ in range(2):
        found = find_or_tune(plan())
        assert found is not None
        assert found.choice.winner == 1
    assert [message for message in caplog.messages if "could not be kept" in message]


# a baseline that dies


@pytest.fixture
def deaths(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """How the measurements to come end; after that they go well."""
    coming: list[Exception] = []

    def measure(*_: Any, **__: Any) -> tuple[Row, ...]:
        if coming:
            raise coming.pop(0)
        return rows()

    monkeypatch.setattr(measure_module, "measure", measure)
    return coming


KILLED = Rejected("reading: died of SIGKILL (out of memory?)", "killed", died=True)


def test_a_baseline_that_is_killed_once_is_measured_once_more(
    plan: Callable[..., Plan], deaths: list[Exception]
) -> None:
    deaths.append(KILLED)
    assert find_or_tune(plan()) is not None
    assert not deaths


@pytest.mark.parametrize(
    "ends",
    [[KILLED, KILLED], [Rejected("loading: damaged")], [OSError(24, "Too many open files")]],
    ids=["killed", "failed", "no process"],
)
def test_otherwise_tuning_fails_and_high_performance_mode_is_normal_mode(
    plan: Callable[..., Plan], deaths: list[Exception], ends: list[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    deaths += ends
    with pytest.raises(TuningError, match=r"does not run|no process"):
        find_or_tune(plan())
    deaths += ends
    assert tuning_or_none(plan()) is None
    assert not deaths
    (warning,) = warnings(caplog)
    assert warning.startswith("high-performance mode reads in normal mode: m: tuning: ")
    assert not plan().path.exists()


KILLS_ITSELF = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)  # {path}"


def test_one_kill_leaves_no_trace_in_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    measure, program = measure_module.measure, trial._PROGRAM

    def measure_after_a_kill(*arguments: Any, **more: Any) -> Any:
        monkeypatch.setattr(trial, "_PROGRAM", program if killed else KILLS_ITSELF)
        killed.append(1)
        return measure(*arguments, **more)

    monkeypatch.setattr(measure_module, "measure", measure_after_a_kill)
    (tmp_path / "onnxruntime.yaml").write_text("cpu:\n  - {batch_size: 4}\n", "utf-8")
    config = {"cache_dir": tmp_path / "cache", "backend_configs": tmp_path, "backend": "onnxruntime"}
    found = find_or_tune(tuner.plan(tiny_onnx_model(tmp_path / "tiny"), read_hpi_config(config), "cpu"))
    assert len(killed) == 2
    assert found is not None
    assert {row.outcome for row in found.rows} == {"measured"}
    assert not found.provisional


def test_text_is_read_although_every_process_of_a_tuning_is_killed(
    tmp_path: Path, lines_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trial, "_PROGRAM", KILLS_ITSELF)
    folder = tiny_onnx_model(tmp_path / "tiny").path
    lines = sorted(lines_dir.glob("*.png"))[:3]
    with load_predictor(model_dir=folder, device="cpu") as normal:
        expected = [result["rec_text"] for result in normal.predict(lines)]
    config = {"cache_dir": tmp_path / "cache"}
    with load_high_performance(model_dir=folder, device="cpu", hpi_config=config) as predictor:
        assert [result["rec_text"] for result in predictor.predict(lines)] == expected
        assert predictor.effective.backend == "onnxruntime"
    assert sum("reads in normal mode" in message for message in caplog.messages) == 1
