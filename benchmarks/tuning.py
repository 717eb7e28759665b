"""What a tuning costs and how steady its choice is.

    python -m benchmarks.tuning hit --model PP-OCRv4_mobile_rec        # wall time of a cache hit
    python -m benchmarks.tuning repeat --model PP-OCRv4_mobile_rec --times 10 -o DIR
    python -m benchmarks.tuning promise FOLDER                         # whether a row's lines/s hold in use

``repeat`` tunes several times, every second time beside a busy loop on one core, and then measures each of the winners
again on the quiet machine, against normal mode, with twice the rounds' worth of time.
"""

from __future__ import annotations

import multiprocessing
import statistics
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ocrhpi.assembly import open_reader
from ocrhpi.config.hpi_config import read_hpi_config
from ocrhpi.loader import find_model
from ocrhpi.measuring.stream import LineStream
from ocrhpi.predictor import Predictor
from ocrhpi.tuner import find_or_tune, plan, tune
from ocrhpi.tuning.cache import save
from ocrhpi.tuning.calibration import load_calibration
from ocrhpi.tuning.rows import PROMISED_LINES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocrhpi.config.candidate import ExecutionPlan
    from ocrhpi.measuring.statistic import Ratio
    from ocrhpi.tuning.cache import Tuning

_HIT = """
import sys, time
import ocrhpi.loader
model = ocrhpi.loader.find_model(sys.argv[1])
start = time.perf_counter()
model.fingerprint  # the cache of exports needs it, too
known = time.perf_counter()
from ocrhpi.config.hpi_config import read_hpi_config
from ocrhpi.tuner import find_or_tune, plan
tuning = find_or_tune(plan(model, read_hpi_config({"tune": "never"})))
found = time.perf_counter()
ocrhpi.assembly.open_reader(model, tuning.setups[0]).close()
print(*(1e3 * (end - begin) for begin, end in ((start, known), (known, found), (found, time.perf_counter()))))
"""


@click.group()
def main() -> None:
    """Measure tunings."""


@main.command()
@click.option("--model", "name", default="PP-OCRv4_mobile_rec", show_default=True)
@click.option("--rounds", default=7, show_default=True)
def hit(name: str, rounds: int) -> None:
    """Time each part of a cache hit, in fresh processes: hashing the model, finding the winner, loading its engine."""
    tuning = find_or_tune(plan(find_model(name), read_hpi_config(None)))
    assert tuning is not None  # noqa: S101 - tune is "auto"
    runs = []
    for _ in range(rounds):
        command = [sys.executable, "-c", _HIT, name]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
        runs.append([float(number) for number in output.split()[-3:]])
    parts = ("hash of the model", "finding the winner", f"loading {tuning.setups[0].name!r}")
    for part, values in zip(parts, zip(*runs, strict=True), strict=True):
        print(f"{statistics.median(values):7.1f} ms  ({min(values):.1f} to {max(values):.1f})  {part}")


@main.command()
@click.option("--model", "name", default="PP-OCRv4_mobile_rec", show_default=True)
@click.option("--times", default=10, show_default=True)
@click.option("--budget", default=60.0, show_default=True)
@click.option("--again", default=40.0, show_default=True, help="Budget of measuring each winner again.")
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True)
def repeat(name: str, times: int, budget: float, again: float, output: Path) -> None:
    """Tune again and again, every second time beside a busy loop on one core."""
    model = find_model(name)
    planned = plan(model, read_hpi_config({"budget_s": budget}))
    winners: list[ExecutionPlan] = []
    for number in range(times):
        noisy = bool(number % 2)
        with _busy_loop(noisy):
            tuning = tune(planned)
        save(tuning, output / f"{number}.yml")
        winners.append(tuning.setups[0])
        ratio = tuning.choice.ratios[tuning.choice.winner]
        print(
            f"{number} {'noisy' if noisy else 'quiet'} {tuning.seconds:5.1f} s  {ratio}  {winners[-1].name}", flush=True
        )
    counts = Counter(winner.name for winner in winners)
    for winner in {winner.name: winner for winner in winners}.values():
        ratio = _against_normal_mode(winner, name, again)
        print(f"won {counts[winner.name]} of {times}; measured again, quiet: {ratio}  {winner.name}", flush=True)


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", "name", default="PP-OCRv4_mobile_rec", show_default=True)
@click.option("--accuracy", default="identical", show_default=True)
@click.option("--budget", default=60.0, show_default=True)
@click.option("--lines", default=PROMISED_LINES, show_default=True)
@click.option("--call", default=250, show_default=True, help="Lines of a call of predict.")
def promise(folder: Path, name: str, accuracy: str, budget: float, lines: int, call: int) -> None:
    """Tune on the lines of FOLDER, and read the first lines of another stream of them: does the figure hold?"""
    config = {"budget_s": budget, "accuracy": accuracy, "calibration_dir": str(folder)}
    model = find_model(name)
    tuning = tune(plan(model, read_hpi_config(config)))
    row = tuning.rows[tuning.choice.winner]
    promised = 1e3 / statistics.median(row.times)
    pixels = load_calibration(folder).lines
    stream = LineStream([line.pixels for line in pixels], seed=1)
    with Predictor(open_reader(model, row.candidate)) as predictor:
        seconds = 0.0
        for start in range(0, lines, call):
            part = stream.part(start, min(start + call, lines))
            began = time.perf_counter()
            predictor.predict(part)
            seconds += time.perf_counter() - began
    print(
        f"{row.candidate.name}: promised {promised:.1f} lines/s, the first {lines} lines ran at {lines / seconds:.1f}"
    )
    print(f"use / promise: {lines / seconds / promised:.2f}")


def _against_normal_mode(winner: ExecutionPlan, name: str, budget: float) -> Ratio | None:
    planned = plan(find_model(name), read_hpi_config({"budget_s": budget}))
    if winner == planned.grid.baseline:
        return None
    alone = replace(planned.grid, candidates=(winner,), left_out=())  # type: ignore[arg-type]  # a split runs, too
    tuning: Tuning = tune(replace(planned, grid=alone))
    number = next(number for number, row in enumerate(tuning.rows) if row.candidate == winner)
    return tuning.choice.ratios[number]


@contextmanager
def _busy_loop(wanted: bool) -> Iterator[None]:  # noqa: FBT001
    process = multiprocessing.get_context("spawn").Process(target=_spin, daemon=True)
    if wanted:
        process.start()
        time.sleep(1)  # until it spins
    try:
        yield
    finally:
        if wanted:
            process.kill()
            process.join()


def _spin() -> None:
    while True:
        pass


if __name__ == "__main__":
    main()
