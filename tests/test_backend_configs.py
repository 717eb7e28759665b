"""The option grids and the prior that ship as data: every entry must be one that its backend accepts."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
import yaml

from ocrhpi.backends.registry import backend_specs
from ocrhpi.config.candidate import Candidate
from ocrhpi.config.objective import Goal
from ocrhpi.machine import _TELLING_FLAGS
from ocrhpi.options import parse_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocrhpi.backends.base import Backend

CONFIGS = Path(__file__).parents[1] / "backend_configs"
PRIOR = CONFIGS / "prior.yaml"
GRIDS = sorted(set(CONFIGS.glob("*.yaml")) - {PRIOR})


def backend_of(name: str) -> type[Backend]:
    module, _, attribute = backend_specs()[name].target.partition(":")
    backend: type[Backend] = getattr(importlib.import_module(module), attribute)
    return backend


def check(backend_name: str, entry: dict[str, Any]) -> None:
    backend = backend_of(backend_name)
    candidate = parse_options(Candidate, {**entry, "backend": backend_name})
    parse_options(backend.options_type, candidate.options)


def test_every_built_in_backend_has_a_grid_and_every_grid_a_backend() -> None:
    assert {path.stem for path in GRIDS} == set(backend_specs())


@pytest.mark.parametrize("name", list(backend_specs()))
def test_what_a_spec_says_of_options_is_true_of_them(name: str) -> None:
    spec, backend = backend_specs()[name], backend_of(name)
    options = backend.options_type.model_fields
    assert backend.name == name
    said = {*spec.batch_options, *spec.paddlex_names.values(), *([spec.threads_option] if spec.threads_option else [])}
    assert said <= options.keys()
    assert ("threads" in options) == (spec.threads_option is not None)
    assert ("shapes" in options) == spec.shape_option
    assert ("shape_count" in options) == spec.shape_count_option
    for way in spec.gpu_ways:
        assert not way.provider or parse_options(backend.options_type, {"provider": way.provider})


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_every_entry_is_accepted_by_its_backend(path: Path) -> None:
    grid = yaml.safe_load(path.read_text("utf-8"))
    assert set(grid) <= {"cpu", "gpu", "npu", "auto"}
    for entries in grid.values():
        assert entries
        for entry in entries:
            check(path.stem, entry)


def classes() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(PRIOR.read_text("utf-8"))
    return found


def priors() -> Iterator[Any]:
    for of_class in classes():
        for goal in get_args(Goal):
            for policy in ("identical", "other"):
                name = f"{of_class['flag'] or 'any other'}-{goal}-{policy}"
                yield pytest.param(policy, of_class[goal][policy], id=name)


def test_classes_of_cpus_are_told_by_flags_that_are_looked_for_and_the_last_is_any_other() -> None:
    flags = [of_class["flag"] for of_class in classes()]
    assert flags[-1] == ""
    assert set(flags[:-1]) <= set(_TELLING_FLAGS)
    assert len(set(flags)) == len(flags)
    for of_class in classes():
        assert set(of_class) == {"flag", *get_args(Goal)}
        assert all(set(of_class[goal]) == {"identical", "other"} for goal in get_args(Goal))


@pytest.mark.parametrize(("policy", "entries"), list(priors()))
def test_every_prior_is_short_and_accepted_by_its_backend(policy: str, entries: list[dict[str, Any]]) -> None:
    # That it is one of the grid, too, and so is tried: tests/tuning/test_candidates.py.
    assert 1 <= len(entries) <= 3
    for entry in entries:
        check(entry["backend"], entry)
        assert Candidate.model_validate(entry).lossless or policy == "other"
