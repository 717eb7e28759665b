from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ocrhpi.integrations.paddlex.parity import (
    Evidence,
    digest_of,
    largest_difference,
    read_evidence,
    save_evidence,
)

if TYPE_CHECKING:
    from pathlib import Path

KEY = {"model": "m", "threads": 2}


def array(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("reference", "other", "difference"),
    [
        ([array(0.5, 1)], [array(0.5, 1)], 0.0),
        ([array(0, 1)], [array(0, 1.002)], 0.001),  # |a - b| / (1 + |b|)
        ([array(999)], [array(1000)], 0.001),
        ([array(1), array(0)], [array(1), array(0.25)], 0.25),
        ([array(math.inf, math.nan)], [array(math.inf, math.nan)], 0.0),
        ([array(1)], [array(math.nan)], math.inf),
        ([array(1)], [array(math.inf)], math.inf),
        ([array(1)], [array(1, 1)], math.inf),
        ([array(1)], [array(1), array(1)], math.inf),
        ([np.array([1, 2])], [np.array([1, 2])], 0.0),
        ([np.array([1, 2])], [np.array([1, 3])], math.inf),
        ([np.zeros((0, 6), np.float32)], [np.zeros((0, 6), np.float32)], 0.0),
    ],
)
def test_difference_of_outputs(reference: list[np.ndarray], other: list[np.ndarray], difference: float) -> None:
    assert largest_difference(reference, other) == pytest.approx(difference, rel=1e-3)


def test_digests_tell_inputs_apart() -> None:
    inputs = [[array(1, 2)], [array(1, 3)], [array(1), array(2)], [array(1, 2).reshape(2, 1)], [np.array([1.0, 2.0])]]
    assert len({digest_of(one) for one in inputs}) == len(inputs)
    assert digest_of([array(1, 2)]) == digest_of([array(1, 9, 2)[::2]])


def filled(home: float, other: float) -> Evidence:
    evidence = Evidence(key=KEY)
    for number in range(3):
        assert not evidence.complete
        seconds = {"paddle": home, "openvino": other, "onnxruntime": 9.0}
        evidence = evidence.with_input(str(number), seconds, {"openvino": 1e-6 * number, "onnxruntime": 0.0})
    assert evidence.complete
    return evidence


def test_another_engine_must_be_faster_beyond_the_noise_unless_it_was_asked_for() -> None:
    assert filled(1.0, 0.5).fastest("paddle", asked=False) == "openvino"
    assert filled(1.0, 0.99).fastest("paddle", asked=False) == "paddle"
    assert filled(1.0, 2.0).fastest("paddle", asked=True) == "openvino"
    assert filled(1.0, 0.5).speedup("openvino", "paddle") == pytest.approx(2)
    assert filled(1.0, 0.5).largest["openvino"] == 2e-6


def test_a_refused_engine_is_no_choice() -> None:
    evidence = filled(1.0, 0.5).with_refusal("openvino", "it differs").with_refusal("onnxruntime", "it fails")
    assert evidence.fastest("paddle", asked=True) == "paddle"
    assert evidence.refused == {"openvino": "it differs", "onnxruntime": "it fails"}


def test_evidence_is_kept_for_its_key_alone(tmp_path: Path) -> None:
    path = tmp_path / "paddlex" / "det.json"
    evidence = filled(1.0, 0.5)
    save_evidence(evidence, path)
    assert read_evidence(path, KEY) == evidence
    assert read_evidence(path, {**KEY, "threads": 4}).inputs == ()
    assert [file.name for file in path.parent.iterdir()] == ["det.json"]


def test_a_damaged_file_is_as_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "det.json"
    assert read_evidence(path, KEY) == Evidence(key=KEY)
    assert not caplog.records
    whole = filled(1.0, 0.5).model_dump(mode="json")
    fewer, none = ({**whole, "seconds": {**whole["seconds"], "openvino": values}} for values in ([0.5], [0, 0, 0]))
    for text in ('{"key": ', json.dumps(fewer), json.dumps(none)):
        caplog.clear()
        path.write_text(text)
        assert read_evidence(path, KEY) == Evidence(key=KEY)
        assert "cannot be read" in caplog.text
