"""The search, on layers whose harm is known."""

from __future__ import annotations

import pytest

from ocrhpi.quantization.quantize import Layer
from ocrhpi.quantization.search import Effect, Found, merge, search

HARM = {"a": 3.0, "b": 0.1, "c": 2.0, "d": 0.1, "e": 0.1, "f": 0.1}
LAYERS = [Layer(name, "Conv", weighted=True, work=1) for name in HARM]


class Network:
    """Texts change if the square sum of the harm of all lowered layers is above ``allowed``."""

    def __init__(self, allowed: float) -> None:
        self.allowed = allowed
        self.calls: list[tuple[frozenset[str], bool]] = []

    def __call__(self, kept: frozenset[str], *, quick: bool) -> Effect:
        self.calls.append((kept, quick))
        total = sum(harm**2 for name, harm in HARM.items() if name not in kept)
        return Effect(changed=int(total > self.allowed), shift=total**0.5)


def kept_by(found: Found) -> set[str]:
    return set(found.tried[-1].kept)


def test_nothing_is_measured_alone_where_all_may_be_lowered() -> None:
    network = Network(100)
    found = search(LAYERS, network)
    assert kept_by(found) == set()
    assert found.shifts == {}
    assert len(network.calls) == 1


@pytest.mark.parametrize(("allowed", "kept"), [(5, {"a"}), (1, {"a", "c"})])
def test_what_does_most_harm_is_kept_and_no_more(allowed: float, kept: set[str]) -> None:
    network = Network(allowed)
    found = search(LAYERS, network)
    assert kept_by(found) == kept
    assert found.tried[-1].effect.changed == 0
    assert found.shifts == pytest.approx(HARM)
    assert sum(quick for _, quick in network.calls) == len(LAYERS)


def test_half_of_the_work_is_lowered_even_if_texts_change() -> None:
    found = search(LAYERS, Network(0))
    assert len(kept_by(found)) == len(LAYERS) / 2
    assert {"a", "c"} < kept_by(found)
    assert found.tried[-1].effect.changed == 1


def test_each_step_is_told_before_it_is_taken() -> None:
    told: list[str] = []
    network = Network(5)
    search(LAYERS, network, told.append)
    assert len(told) == len(network.calls)
    assert told[1] == "group 1 of 6 alone"


def test_small_neighbours_are_measured_together() -> None:
    layers = [Layer(str(number), "Conv", weighted=True, work=work) for number, work in enumerate((5, 2, 2, 4, 1))]
    groups = [[layer.name for layer in group] for group in merge(layers, 3)]
    assert groups == [["0"], ["1", "2"], ["3", "4"]]
