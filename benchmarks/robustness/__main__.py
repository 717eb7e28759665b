"""``python -m benchmarks.robustness``: see the package's docstring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.robustness.callers import callers
from benchmarks.robustness.inputs import inputs
from benchmarks.robustness.kills import cold, kills
from benchmarks.robustness.server import server
from ocrhpi.machine import describe_machine
from ocrhpi.recognition.inputs import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.robustness.rows import Row

SCENARIOS = {"callers": callers, "inputs": inputs, "kills": kills, "cold": cold, "server": server}


@click.command()
@click.argument("lines", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--scenario", "names", multiple=True, type=click.Choice(list(SCENARIOS)), help="[default: all]")
@click.option("--times", default=50, show_default=True, help="Kills of each command.")
def main(lines: Path, output: Path, names: tuple[str, ...], times: int) -> None:
    """Run the scenarios on the lines in LINES."""
    files = sorted(str(path) for path in lines.iterdir() if path.suffix.lower() in SUFFIXES)
    output.mkdir(parents=True, exist_ok=True)
    file = output / "robustness.json"
    raw: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    for name in names or SCENARIOS:
        rows = []
        for row in SCENARIOS[name](files, times):
            click.echo(f"{row['what']}: {row['outcome']} in {row['seconds']} s")
            rows.append(row)
        raw = {**raw, "machine": describe_machine(), "rows": [*_others(raw, name), *rows]}
        file.write_text(json.dumps(raw, indent=1), "utf-8")
    (output / "robustness.md").write_text(_table(raw["rows"]), "utf-8")


def _others(raw: dict[str, Any], name: str) -> list[Row]:
    return [row for row in raw.get("rows", []) if row["scenario"] != name]


def _table(rows: Sequence[Row]) -> str:
    lines = ["| what | times | what came of it | s |", "|---|--:|---|--:|"]
    for row in rows:
        came = "; ".join(f"{name}: {count}" for name, count in row["outcome"].items())
        lines.append(f"| {row['what']} | {row['times']} | {came} | {row['seconds']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
