"""A model without weights, and backends that read pictures of `tests.batch.lines` without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocrhpi.batch import tunings
from tests.batch.lines import write_model
from tests.batch.plugins import install_plugins

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "weightless")


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backends of `tests.batch.plugins`; none is open in this process."""
    install_plugins(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(tunings, "_predictors", {})
