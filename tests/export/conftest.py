"""Small models of all six architecture families, and exports that tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.reference_models.export import write_small_model
from benchmarks.reference_models.families import FAMILIES
from ocrhpi.model import Model, load_model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def exports_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory for exports that all tests share."""
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="session", params=list(FAMILIES))
def small_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A network of few channels with the operators of its family, in Paddle's present format."""
    return load_model(write_small_model(request.param, tmp_path_factory.mktemp("small") / request.param))
