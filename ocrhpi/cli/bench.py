"""``ocrhpi bench``: normal mode against high-performance mode, model by model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ocrhpi.bench.jobs import find_jobs
from ocrhpi.bench.run import bench_all
from ocrhpi.display.live import watching
from ocrhpi.hpi_config import read_hpi_config

if TYPE_CHECKING:
    from ocrhpi.bench.rows import BenchRow

__all__ = ["command"]


@click.command(
    "bench",
    help="""Measure normal mode and high-performance mode of the models NAMES (official names, or 'all').

    Weights are taken from the folder --models (one directory a model), then from the cache. Results are files in
    --output, one a model: what is there is not measured again, so an interrupted run goes on where it stopped.
    """,
)
@click.argument("names", nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of rows.")
@click.option("--models", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of models.")
@click.option("--device", help="cpu, gpu or gpu:INDEX.  [default: a GPU if an engine can use it]")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of every engine.  [default: the usable cores]")
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True)
@click.option("--budget", type=float, default=60.0, show_default=True, help="Seconds of each model's tuning.")
@click.option("--accuracy", default="identical", show_default=True, help="As for ocrhpi tune.")
@click.option("--calibration_dir", "--calibration-dir", help="Your own lines: they are read, and their widths count.")
def command(  # noqa: D103, PLR0913 - click documents it; one parameter an option
    *,
    names: tuple[str, ...],
    output: Path,
    models: Path | None,
    device: str | None,
    threads: int | None,
    rounds: int,
    budget: float,
    accuracy: str,
    calibration_dir: str | None,
) -> None:
    given = {"cpu_threads": threads, "budget_s": budget, "accuracy": accuracy, "calibration_dir": calibration_dir}
    config = read_hpi_config({name: value for name, value in given.items() if value is not None})
    failed = 0
    with watching() as watcher:
        rows = bench_all(find_jobs(names, models), config, output, device=device, rounds=rounds, watcher=watcher)
        for row in rows:
            click.echo(_line(row))
            failed += bool(row.reason)
    click.echo(f"rows in {output}; 'ocrhpi report {output}' makes the report", err=True)
    if failed:
        click.echo(f"{failed} models could not be measured", err=True)


def _line(row: BenchRow) -> str:
    if row.reason:
        return f"{row.model}: {row.reason}"
    times = [f"{mode.mode} {_median(mode.engine_ms)}" for mode in row.modes]
    return f"{row.model}: {', '.join(times)} ms a line{', unstable' if row.unstable else ''}"


def _median(times: tuple[float, ...]) -> str:
    return f"{sorted(times)[len(times) // 2]:.2f}" if times else "-"
