"""By which margin a line would have been another text, against trying all paths."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from ocrhpi.recognition import near_ties
from ocrhpi.recognition.ctc import CtcDecoder
from ocrhpi.recognition.near_ties import SURE, text_margins
from ocrhpi.values import Emissions

LABELS = ("", "a", "b", "c")
_, A, B, _ = range(4)


def softened(steps: list[dict[int, float]]) -> np.ndarray:
    """Probabilities (1, T, 4): of each step those that are given, and nothing else."""
    full = np.zeros((1, len(steps), len(LABELS)), np.float32)
    for step, given in enumerate(steps):
        for klass, probability in given.items():
            full[0, step, klass] = probability
    return full


def margin(steps: list[dict[int, float]]) -> float:
    (found,) = text_margins(Emissions.from_probabilities(softened(steps), margin=0.6))
    return round(found, 4)


SURELY_A, SURELY_B, SURELY_BLANK = {A: 0.99}, {B: 0.99}, {0: 0.99}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param([SURELY_A, SURELY_BLANK], SURE, id="no near-tie"),
        pytest.param([SURELY_BLANK, {A: 0.6, B: 0.4}, SURELY_BLANK], 0.2, id="another character"),
        pytest.param([SURELY_BLANK, {A: 0.6, 0: 0.4}, SURELY_BLANK], 0.2, id="a character or none"),
        pytest.param([SURELY_A, {0: 0.6, A: 0.4}, SURELY_BLANK], SURE, id="the border of a character"),
        pytest.param([SURELY_BLANK, {0: 0.6, A: 0.4}, SURELY_A], SURE, id="its other border"),
        pytest.param([SURELY_A, {0: 0.6, A: 0.4}, SURELY_A], 0.2, id="a doubled character or a long one"),
        pytest.param([SURELY_A, {A: 0.6, 0: 0.4}, SURELY_B], SURE, id="between two characters"),
        pytest.param([{A: 0.6, 0: 0.4}, {A: 0.55, 0: 0.45}], 0.2, id="no step of it is sure: both must fall"),
        pytest.param([{A: 0.6, 0: 0.4}, SURELY_A], SURE, id="one of two steps is sure"),
        pytest.param([{0: 0.6, A: 0.4}], 0.2, id="a character at the end of the line"),
        pytest.param([], SURE, id="nothing"),
    ],
)
def test_only_what_changes_the_text_counts(steps: list[dict[int, float]], expected: float) -> None:
    assert margin(steps) == expected


def paths_that_differ(full: np.ndarray, within: float) -> bool:
    """Try all paths through the classes within a margin."""
    decoder = CtcDecoder(LABELS)
    best = full.max(axis=-1, keepdims=True)
    choices = [np.flatnonzero(near).tolist() for near in (best - full <= within)[0]]
    paths = np.array(list(product(*choices)), np.int32)
    texts = {line.text for line in decoder.decode(Emissions(paths, np.ones(paths.shape, np.float32)))}
    return len(texts) > 1


@pytest.mark.parametrize("seed", range(60))
def test_it_is_the_least_margin_of_all_paths(seed: int) -> None:
    rng = np.random.default_rng(seed)
    full = rng.dirichlet([0.4] * len(LABELS), (1, 7)).astype(np.float32)
    (found,) = text_margins(Emissions.from_probabilities(full, margin=0.6))
    if found == SURE:
        assert not paths_that_differ(full, 0.599)
    else:
        assert paths_that_differ(full, found + 1e-6)
        assert not paths_that_differ(full, found - 1e-6)


def test_lines_of_a_batch_and_steps_beyond_their_end() -> None:
    hesitant = softened([SURELY_A, SURELY_BLANK, {B: 0.6, 0: 0.4}])
    full = np.concatenate([hesitant, hesitant, softened([SURELY_A, SURELY_BLANK, SURELY_B])])
    emissions = Emissions.from_probabilities(full, margin=0.6)
    shorter = Emissions(emissions.indices, emissions.probs, np.array([2, 3, 3], np.int32), emissions.near_ties)
    assert np.round(text_margins(shorter), 4).tolist() == [SURE, 0.2, SURE]


def test_without_near_ties_the_bound_is_told() -> None:
    probs = np.array([[0.9, 0.8, 0.5], [0.9, 0.8, 0.6]], np.float32)
    emissions = Emissions(np.ones((2, 3), np.int32), probs, np.array([2, 3], np.int32))
    np.testing.assert_allclose(text_margins(emissions), [0.6, 0.2], atol=1e-6)


def test_a_stretch_of_too_many_paths_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    border = [SURELY_A, {0: 0.6, A: 0.4}, SURELY_BLANK]
    assert margin(border) == SURE
    monkeypatch.setattr(near_ties, "_MAX_PATHS", 1)
    assert margin(border) == 0.2
