from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ocrhpi.errors import BackendError
from ocrhpi.integrations.paddlex.parity import INPUTS, Evidence, ParityCheck, read_evidence

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

KEY = {"model": "m"}


class Engine:
    """Adds ``offset`` to its input, takes ``seconds``, and counts calls."""

    def __init__(self, name: str, *, offset: float = 0.0, seconds: float = 0.0) -> None:
        self.name = name
        self.offset = offset
        self.seconds = seconds
        self.calls = 0
        self.fails = False

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.calls += 1
        if self.fails:
            raise BackendError(self.name, "failed")
        time.sleep(self.seconds)
        return [array + self.offset for array in arrays]


def inputs(number: int) -> list[np.ndarray]:
    return [np.full((1, 3, 8, 8), number / 10, np.float32)]


def _opened(engine: Engine) -> Engine:
    return engine


def begin(path: Path, home: Engine, *others: Engine, asked: bool = False) -> ParityCheck:
    openers = {engine.name: partial(_opened, engine) for engine in others}
    return ParityCheck("det", home, openers, read_evidence(path, KEY), path, asked=asked)


def run(trial: ParityCheck, count: int = INPUTS) -> None:
    for number in range(count):
        expected = inputs(number)[0]
        np.testing.assert_allclose(trial.run(inputs(number))[0], expected, atol=1e-4)


def test_the_faster_engine_runs_alone_once_enough_inputs_were_equal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home, other = Engine("paddle", seconds=0.01), Engine("openvino", offset=1e-5)
    trial = begin(tmp_path / "det.json", home, other)
    with caplog.at_level(logging.INFO, "ocrhpi"):
        run(trial)
    assert trial.engine == "openvino"
    assert caplog.text.count("det runs on openvino: outputs equal to those of paddle on 3 inputs within 1.0e-05") == 1
    home.calls = 0
    run(trial)
    assert home.calls == 0


def test_until_then_the_outputs_are_those_of_home(tmp_path: Path) -> None:
    home, other = Engine("paddle", seconds=0.005), Engine("openvino", offset=1e-5)
    trial = begin(tmp_path / "det.json", home, other)
    for number in range(INPUTS):
        assert trial.engine == "paddle"
        assert trial.run(inputs(number))[0][0, 0, 0, 0] == inputs(number)[0][0, 0, 0, 0]


def test_an_input_seen_before_proves_nothing_new(tmp_path: Path) -> None:
    home, other = Engine("paddle", seconds=0.005), Engine("openvino")
    trial = begin(tmp_path / "det.json", home, other)
    for _ in range(INPUTS + 1):
        trial.run(inputs(0))
    assert trial.engine == "paddle"
    assert other.calls == 2


def test_an_engine_with_other_outputs_is_refused_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "det.json"
    home, other = Engine("paddle", seconds=0.01), Engine("openvino", offset=0.01)
    trial = begin(path, home, other)
    run(trial)
    run(trial)
    assert trial.engine == "paddle"
    assert other.calls == 1
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "det stays on paddle: openvino: its outputs differ by" in record.getMessage()
    caplog.clear()
    again = Engine("openvino")
    run(begin(path, home, again))  # another process need not find out again
    assert again.calls == 0
    assert "stays on paddle" in caplog.text


def test_of_two_engines_the_equal_one_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    home = Engine("paddle", seconds=0.01)
    trial = begin(tmp_path / "det.json", home, Engine("openvino", offset=0.01), Engine("onnxruntime"))
    run(trial)
    assert trial.engine == "onnxruntime"
    assert "stays" not in caplog.text


def test_an_engine_that_is_no_faster_is_left_unless_it_was_asked_for(tmp_path: Path) -> None:
    for asked, engine in ((False, "paddle"), (True, "openvino")):
        home, other = Engine("paddle"), Engine("openvino", seconds=0.01)
        trial = begin(tmp_path / f"{asked}.json", home, other, asked=asked)
        run(trial)
        assert trial.engine == engine


def test_a_later_process_starts_with_what_was_found_out(tmp_path: Path) -> None:
    path = tmp_path / "det.json"
    for number in range(INPUTS):  # one input each, as a program that reads one page and ends
        trial = begin(path, Engine("paddle", seconds=0.01), Engine("openvino"))
        assert trial.engine == "paddle"
        trial.run(inputs(number))
    home, other = Engine("paddle", seconds=0.01), Engine("openvino")
    trial = begin(path, home, other)
    assert trial.engine == "openvino"
    run(trial)
    assert (home.calls, other.calls) == (0, INPUTS)


def test_an_engine_that_cannot_be_opened_is_told_in_the_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def opener() -> Engine:
        raise BackendError("openvino", "could not load it")

    trial = ParityCheck("det", Engine("paddle"), {"openvino": opener}, Evidence(key=KEY), tmp_path / "det.json")
    run(trial)
    assert "det stays on paddle: openvino: backend 'openvino': could not load it" in caplog.text
    assert not (tmp_path / "det.json").exists()  # nothing was measured, and it may open tomorrow


def test_an_engine_that_fails_later_is_given_up_and_the_call_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home, other = Engine("paddle", seconds=0.01), Engine("openvino")
    trial = begin(tmp_path / "det.json", home, other)
    run(trial)
    other.fails = True
    run(trial)
    assert trial.engine == "paddle"
    assert caplog.text.count("it runs on paddle from here on") == 1


def test_an_engine_that_fails_in_the_trial_is_refused(tmp_path: Path) -> None:
    other = Engine("openvino")
    other.fails = True
    trial = begin(tmp_path / "det.json", Engine("paddle"), other)
    run(trial)
    assert read_evidence(tmp_path / "det.json", KEY).refused == {"openvino": "backend 'openvino': failed."}
    assert other.calls == 1
