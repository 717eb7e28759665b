"""Emissions and their near-ties, and what an input may be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ocrhpi.values import Emissions, InputSpec, Probabilities


def probabilities() -> Probabilities:
    logits = np.random.default_rng(0).normal(0, 3, (3, 20, 50)).astype(np.float32)
    exponentials = np.exp(logits)
    full: Probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return full


def test_near_ties_are_the_classes_within_the_margin() -> None:
    full = probabilities()
    before = full.copy()
    emissions = Emissions.from_probabilities(full, margin=0.2)
    np.testing.assert_array_equal(full, before)
    assert Emissions.from_probabilities(full).near_ties is None
    near_ties = emissions.near_ties
    assert near_ties is not None
    found = set(zip(near_ties.rows.tolist(), near_ties.steps.tolist(), near_ties.classes.tolist(), strict=True))
    expected = {
        (row, step, klass)
        for row, step, klass in np.ndindex(*full.shape)
        if klass != emissions.indices[row, step] and emissions.probs[row, step] - full[row, step, klass] < 0.2
    }
    assert found == expected
    assert expected
    assert (np.diff(near_ties.rows) >= 0).all()
    np.testing.assert_array_equal(
        near_ties.margins,
        emissions.probs[near_ties.rows, near_ties.steps] - full[near_ties.rows, near_ties.steps, near_ties.classes],
    )
    assert [part.dtype for part in (near_ties.rows, near_ties.steps, near_ties.classes)] == [np.int32] * 3


def test_of_a_tie_the_other_class_is_the_rival() -> None:
    emissions = Emissions.from_probabilities(np.array([[[0.0, 0.4, 0.4, 0.2]]], np.float32), margin=0.1)
    assert emissions.near_ties is not None
    assert (emissions.indices.item(), emissions.near_ties.classes.tolist()) == (1, [2])
    assert emissions.near_ties.margins.tolist() == [0.0]


def masked_emissions() -> Emissions:
    found = Emissions.from_probabilities(probabilities(), margin=0.2)
    return replace(found, steps=np.array([20, 7, 13], np.int32))


@pytest.mark.parametrize("lines", [0, 1, 2])
def test_the_first_lines_without_the_rows_that_fill_up_their_batch(lines: int) -> None:
    whole = masked_emissions()
    first = whole.first(lines)
    np.testing.assert_array_equal(first.indices, whole.indices[:lines])
    np.testing.assert_array_equal(first.probs, whole.probs[:lines])
    assert first.steps is not None
    assert first.steps.tolist() == [20, 7, 13][:lines]
    assert whole.near_ties is not None
    assert first.near_ties is not None
    assert set(first.near_ties.rows.tolist()) == set(range(lines))
    kept = whole.near_ties.rows < lines
    for name in ("rows", "steps", "classes", "margins"):
        np.testing.assert_array_equal(getattr(first.near_ties, name), getattr(whole.near_ties, name)[kept])


def test_all_lines_are_the_same_emissions() -> None:
    whole = masked_emissions()
    assert whole.first(3) is whole


def test_the_first_lines_of_what_has_neither_steps_nor_near_ties() -> None:
    first = Emissions.from_probabilities(probabilities()).first(2)
    assert (first.indices.shape, first.steps, first.near_ties) == ((2, 20), None, None)


def test_near_ties_of_the_first_rows() -> None:
    near_ties = masked_emissions().near_ties
    assert near_ties is not None
    counts = [len(near_ties.before(row).rows) for row in range(5)]
    assert counts == [int((near_ties.rows < row).sum()) for row in range(5)]
    assert counts[0] == 0
    assert counts[3] == counts[4] == len(near_ties.rows) > counts[1] > 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_probabilities_that_are_no_numbers(value: float) -> None:
    full = probabilities()
    assert Emissions.from_probabilities(full).finite
    full[1, 3] = value
    assert not Emissions.from_probabilities(full).finite


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"rows": 4, "stretch_width": 256},
        {"height": 10_000},
        {"height": 10_000, "base_width": 3200},
        {"color": "GRAY", "base_width": 10_000, "max_width": 10_000},
    ],
)
def test_inputs_that_a_network_may_have(sizes: dict[str, Any]) -> None:
    assert not InputSpec(**sizes).fault


@pytest.mark.parametrize(
    ("sizes", "fault"),
    [
        ({"height": 0}, "height: received 0, expected a whole number from 1 to 10000"),
        ({"height": "48"}, "height: received '48', expected a whole number"),
        ({"height": None}, "height: received None"),
        ({"height": True}, "height: received True"),
        ({"base_width": 2_000_000_000}, "base_width: received 2000000000"),
        ({"max_width": 3200.0}, "max_width: received 3200.0"),
        ({"stretch_width": -1}, "stretch_width: received -1"),
        ({"rows": 1 << 200}, "rows: received 160693"),
        ({"color": ["BGR"] * 100}, "color: received ['BGR', "),
        ({"rows": 100, "height": 1000, "base_width": 1000}, "received (100, 3, 1000, 1000) for one batch"),
        ({"height": 10_000, "stretch_width": 10_000}, "received (1, 3, 10000, 10000) for one batch"),
    ],
)
def test_inputs_that_no_network_has(sizes: dict[str, Any], fault: str) -> None:
    told = InputSpec(**sizes).fault
    assert told.startswith(fault)
    assert len(told) < 120
