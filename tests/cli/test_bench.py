"""``ocrhpi bench``: its options reach the rows, and what is there is not measured again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocrhpi.bench.rows import BenchRow
from ocrhpi.bench.run import row_path
from tests.cli.test_cli import run

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.label_file import Label

OPTIONS = ["--device", "cpu", "--budget", "1", "--rounds", "2", "--precision", "fp32"]


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OCRHPI_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def models(tiny_dir: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "tiny_rec").symlink_to(tiny_dir)
    return folder


@pytest.fixture
def rec_gt(labels: dict[str, Label], tmp_path: Path) -> Path:
    file = tmp_path / "rec_gt.txt"
    file.write_text("\n".join(f"{name}\t{label.text}" for name, label in list(labels.items())[:3]), "utf-8")
    return file


def test_options_reach_the_row_and_a_dataset_is_added_to_it(
    models: Path, rec_gt: Path, lines_dir: Path, tmp_path: Path
) -> None:
    rows = tmp_path / "rows"
    arguments = ["bench", "tiny_rec", "--models", models, "-o", rows, *OPTIONS, "--batch_size", "3"]
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("tiny_rec: plain ")
    row = BenchRow.model_validate_json(row_path(rows, "tiny_rec").read_text("utf-8"))
    assert (row.weights, row.batch_size, row.budget_s, row.accuracy) == ("own", 3, 1.0, None)
    assert row.tuning is not None
    assert {one.candidate.precision for one in row.tuning.rows} == {"fp32"}

    result = run(*arguments, "--labels", rec_gt, "--dataset", lines_dir)
    assert result.exit_code == 0, result.output
    assert "accuracy" in result.stdout
    again = BenchRow.model_validate_json(row_path(rows, "tiny_rec").read_text("utf-8"))
    assert again.accuracy is not None
    assert (again.accuracy.lines, again.accuracy.precision) == (3, "fp32")
    assert again.model_copy(update={"accuracy": None}) == row


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "."], "--labels FILE"),
        (["--labels", "gone.txt"], "gone.txt"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_measured(
    arguments: list[str], message: str, models: Path, tmp_path: Path
) -> None:
    result = run("bench", "tiny_rec", "--models", models, "-o", tmp_path / "rows", *arguments)
    assert result.exit_code != 0
    assert message in result.stderr
    assert not (tmp_path / "rows").exists()


def test_a_precision_that_nothing_has_is_the_row_of_the_model(models: Path, tmp_path: Path) -> None:
    result = run("bench", "tiny_rec", "--models", models, "-o", tmp_path / "rows", *OPTIONS[:-1], "fp8")
    assert "received 'fp8'; the candidates that can run here have " in result.stdout
