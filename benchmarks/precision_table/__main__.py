"""Make the table of precisions in three steps, so that only the second needs a quiet machine.

ocrhpi lower MODEL --precision int8             # and int8-selective, bf16-selective
python -m benchmarks.hard_lines -o HARD
python -m benchmarks.precision_table accuracy MODEL --hard HARD -o RESULTS
python -m benchmarks.precision_table speed MODEL --hard HARD -o RESULTS
python -m benchmarks.precision_table show MODEL -o RESULTS
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from benchmarks.precision_table.accuracy import measure_accuracy
from benchmarks.precision_table.lines import load_sets
from benchmarks.precision_table.speed import measure_speed
from benchmarks.precision_table.table import table
from ocrhpi.loader import find_model

_REAL = Path(__file__).parents[2] / "tests" / "data" / "lines"
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)

_model = click.argument("name", metavar="MODEL")
_real = click.option("--real", type=_FOLDER, default=_REAL, help="Folder of real lines.  [default: of the tests]")
_hard = click.option("--hard", type=_FOLDER, required=True, help="Folder that benchmarks.hard_lines made.")
_output = click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True)


@click.group()
def main() -> None:
    """Measure precisions."""


@main.command()
@_model
@_real
@_hard
@_output
def accuracy(name: str, real: Path, hard: Path, output: Path) -> None:
    """Count changed texts and errors."""
    _save(_file(output, name, "accuracy"), measure_accuracy(find_model(name), load_sets(real, hard)))


@main.command()
@_model
@_real
@_hard
@_output
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
def speed(name: str, real: Path, hard: Path, output: Path, rounds: int) -> None:
    """Time, with the thresholds that ``accuracy`` found."""
    found = _load(_file(output, name, "accuracy"))
    thresholds = {title: facts.get("threshold") for title, facts in found.items()}
    _save(_file(output, name, "speed"), measure_speed(find_model(name), load_sets(real, hard), thresholds, rounds))


@main.command()
@_model
@_output
def show(name: str, output: Path) -> None:
    """Print the table."""
    times = _file(output, name, "speed")
    click.echo(table(_load(_file(output, name, "accuracy")), _load(times) if times.exists() else {}))


def _file(folder: Path, model: str, kind: str) -> Path:
    return folder / f"{model}-{kind}.json"


def _save(file: Path, values: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values, indent=1), "utf-8")


def _load(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise click.ClickException(f"{file} is missing; run the steps before")
    values: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return values


if __name__ == "__main__":
    main()
