"""Which models a benchmark measures, and where their weights come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocrhpi.bench import run
from ocrhpi.bench.run import REFERENCE_MARK, find_jobs
from ocrhpi.catalog import official_models
from ocrhpi.errors import UnknownModel

if TYPE_CHECKING:
    from pathlib import Path

NAME = "PP-OCRv4_mobile_rec"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with reference weights, weights of the user's, and a model of the user's; the cache is empty."""
    monkeypatch.setattr(run, "locate", lambda _: None)
    for name in (NAME, "en_PP-OCRv4_mobile_rec", "my_rec"):
        (tmp_path / name).mkdir()
    (tmp_path / NAME / REFERENCE_MARK).touch()
    return tmp_path


def test_a_folder_of_models_tells_whose_weights_they_are(models: Path) -> None:
    found = {job.name: (job.path, job.weights) for job in find_jobs([NAME, "en_PP-OCRv4_mobile_rec", "my_rec"], models)}
    assert found == {
        NAME: (models / NAME, "reference"),
        "en_PP-OCRv4_mobile_rec": (models / "en_PP-OCRv4_mobile_rec", "own"),
        "my_rec": (models / "my_rec", "own"),
    }


def test_official_weights_in_the_cache_come_before_reference_weights(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "locate", lambda _: tmp_path / "cached")
    (job, own) = find_jobs([NAME, "en_PP-OCRv4_mobile_rec"], models)
    assert (job.path, job.weights) == (tmp_path / "cached", "official")
    assert own.weights == "own"


def test_all_are_the_official_ones_and_those_of_the_folder(models: Path) -> None:
    found = find_jobs(["all"], models)
    assert [job.name for job in found] == [*official_models(), "my_rec"]
    missing = next(job for job in found if job.name == "PP-OCRv4_server_rec")
    assert missing.path is None
    assert "ocrhpi models pull PP-OCRv4_server_rec" in missing.reason


def test_an_unknown_name(models: Path) -> None:
    with pytest.raises(UnknownModel, match="PP-OCRv4_mobile_rec"):
        find_jobs(["PP-OCRv4_mobil_rec"], models)
