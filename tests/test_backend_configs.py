"""The option grids that ship as data: every entry must be one that its backend accepts."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import yaml

from ocrhpi.backends.registry import backend_specs
from ocrhpi.candidate import Candidate
from ocrhpi.options import parse_options

CONFIGS = Path(__file__).parents[1] / "backend_configs"


def test_every_built_in_backend_has_a_grid_and_every_grid_a_backend() -> None:
    assert {path.stem for path in CONFIGS.iterdir()} == set(backend_specs())


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_entry_is_accepted_by_its_backend(path: Path) -> None:
    module, _, name = backend_specs()[path.stem].target.partition(":")
    backend = getattr(importlib.import_module(module), name)
    grid = yaml.safe_load(path.read_text("utf-8"))
    assert set(grid) <= {"cpu", "gpu", "npu", "auto"}
    for entries in grid.values():
        assert entries
        for entry in entries:
            candidate = parse_options(Candidate, {**entry, "backend": path.stem})
            parse_options(backend.options_type, candidate.options)
