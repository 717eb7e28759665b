"""Emissions and their rivals."""

from __future__ import annotations

import numpy as np

from ocrhpi.values import Emissions, Probabilities


def probabilities() -> Probabilities:
    logits = np.random.default_rng(0).normal(0, 3, (3, 20, 50)).astype(np.float32)
    exponentials = np.exp(logits)
    full: Probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return full


def test_rivals_are_the_classes_within_the_margin() -> None:
    full = probabilities()
    before = full.copy()
    emissions = Emissions.from_probabilities(full, margin=0.2)
    np.testing.assert_array_equal(full, before)
    assert Emissions.from_probabilities(full).rivals is None
    rivals = emissions.rivals
    assert rivals is not None
    found = set(zip(rivals.rows.tolist(), rivals.steps.tolist(), rivals.classes.tolist(), strict=True))
    expected = {
        (row, step, klass)
        for row, step, klass in np.ndindex(*full.shape)
        if klass != emissions.indices[row, step] and emissions.probs[row, step] - full[row, step, klass] < 0.2
    }
    assert found == expected
    assert expected
    assert (np.diff(rivals.rows) >= 0).all()
    np.testing.assert_array_equal(
        rivals.margins,
        emissions.probs[rivals.rows, rivals.steps] - full[rivals.rows, rivals.steps, rivals.classes],
    )
    assert [part.dtype for part in (rivals.rows, rivals.steps, rivals.classes)] == [np.int32] * 3


def test_of_a_tie_the_other_class_is_the_rival() -> None:
    emissions = Emissions.from_probabilities(np.array([[[0.0, 0.4, 0.4, 0.2]]], np.float32), margin=0.1)
    assert emissions.rivals is not None
    assert (emissions.indices.item(), emissions.rivals.classes.tolist()) == (1, [2])
    assert emissions.rivals.margins.tolist() == [0.0]
