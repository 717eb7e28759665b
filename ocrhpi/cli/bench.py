"""``ocrhpi bench``: normal mode against high-performance mode, model by model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ocrhpi.bench.run import bench_all, find_jobs
from ocrhpi.config.hpi_config import read_hpi_config
from ocrhpi.errors import OptionError
from ocrhpi.evaluation.evaluate import Metric, evaluate, load_dataset
from ocrhpi.loader import load_high_performance
from ocrhpi.output import say
from ocrhpi.report.formatting import percent
from ocrhpi.report.live import watching

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrhpi.bench.rows import Accuracy, BenchRow
    from ocrhpi.config.hpi_config import HpiConfig


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
@click.option(
    "--batch_size",
    "--batch-size",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Lines per call when the engine alone is timed.",
)
@click.option("--precision", help="Only candidates of this precision: fp32, bf16, fp16.  [default: all]")
@click.option("--labels", type=click.Path(path_type=Path), help="Label file of lines to measure the accuracy on.")
@click.option(
    "--dataset", type=click.Path(path_type=Path), help="Folder that its paths are relative to.  [default: its own]"
)
@click.option("--budget", type=float, default=60.0, show_default=True, help="Seconds of each model's tuning.")
@click.option("--accuracy", default="identical", show_default=True, help="As for ocrhpi tune.")
@click.option(
    "--calibration_dir", "--calibration-dir", help="Folder of your own lines, to check texts and to time with."
)
def command(  # noqa: D103, PLR0913 - click documents it; one parameter an option
    *,
    names: tuple[str, ...],
    output: Path,
    models: Path | None,
    device: str | None,
    threads: int | None,
    rounds: int,
    batch_size: int,
    precision: str | None,
    labels: Path | None,
    dataset: Path | None,
    budget: float,
    accuracy: str,
    calibration_dir: str | None,
) -> None:
    given = {
        "cpu_threads": threads,
        "precision": precision,
        "budget_s": budget,
        "accuracy": accuracy,
        "calibration_dir": calibration_dir,
    }
    config = read_hpi_config({name: value for name, value in given.items() if value is not None})
    jobs, judge = find_jobs(names, models), _judge(labels, dataset, config, device)
    failed = 0
    with watching() as on_progress:
        rows = bench_all(
            jobs,
            config,
            output,
            device=device,
            rounds=rounds,
            batch_size=batch_size,
            judge=judge,
            on_progress=on_progress,
        )
        for row in rows:
            say(_line(row))
            failed += bool(row.reason)
    say(f"rows in {output}; 'ocrhpi report {output}' makes the report", err=True)
    if failed:
        say(f"{failed} models could not be measured", err=True)


def _judge(
    labels: Path | None, data: Path | None, config: HpiConfig, device: str | None
) -> Callable[[Path], Accuracy] | None:
    """Return what reads the dataset in high-performance mode; None without one."""
    if labels is None:
        if data is not None:
            raise OptionError("dataset", "received without '--labels FILE', the texts of its lines; add that")
        return None
    dataset = load_dataset(labels, data)

    def judge(path: Path) -> Accuracy:
        with load_high_performance(model_dir=path, device=device, hpi_config=config) as predictor:
            found = evaluate(predictor, dataset, Metric())
            return found.as_accuracy.model_copy(update={"precision": predictor.effective.precision})

    return judge


def _line(row: BenchRow) -> str:
    if row.reason:
        return f"{row.model}: {row.reason}"
    times = [f"{mode.mode} {_median(mode.engine_ms)}" for mode in row.modes]
    accuracy = f", accuracy {percent(row.accuracy.accuracy)}" if row.accuracy else ""
    return f"{row.model}: {', '.join(times)} ms a line{accuracy}{', unstable' if row.unstable else ''}"


def _median(times: tuple[float, ...]) -> str:
    return f"{sorted(times)[len(times) // 2]:.2f}" if times else "-"
