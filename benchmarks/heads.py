"""Time and peak memory of each head form, per engine and batch size, for a small and a large vocabulary.

Run it with ``python -m benchmarks.heads``. Times are interleaved rounds in one process, with all forms loaded, as
medians of ratios to ``full`` (reduced on the host). Peak memory is that of a process that holds one form alone.
The large vocabulary is PP-OCRv5_mobile_rec with seeded random weights; speed does not depend on weights.
"""

from __future__ import annotations

import multiprocessing
import random
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from ocrhpi.backends.registry import create_backend
from ocrhpi.export.exporter import GraphForm, export_model
from ocrhpi.export.heads import HEADS
from ocrhpi.loader import find_model
from ocrhpi.model import Model, load_model

if TYPE_CHECKING:
    from ocrhpi.backends.base import Backend
    from ocrhpi.values import Head

ENGINES = ("openvino", "onnxruntime")
BATCHES = (1, 8)
WARM_UP = 3
RUNS = 5


def tensor(lines: int) -> np.ndarray:
    """Return a batch of ``lines`` x 3 x 48 x 320."""
    return np.random.default_rng(0).uniform(-1, 1, (lines, 3, 48, 320)).astype(np.float32)


def run_ms(backend: Backend, lines: int) -> float:
    """Return the milliseconds of one run, the mean of a few in a row."""
    batch = tensor(lines)
    start = time.perf_counter()
    for _ in range(RUNS):
        backend.run(batch)
    return (time.perf_counter() - start) / RUNS * 1e3


def peak_mib(engine: str, model: Model, lines: int) -> float:
    """Return the peak resident set of this process after running one form; to be called in a process of its own.

    Of Linux; ``getrusage`` would count what the parent had resident when it made this process.
    """
    with create_backend(engine, model, "cpu") as backend:
        for _ in range(WARM_UP):
            backend.run(tensor(lines))
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measure(engine: str, model: Model, rounds: int) -> None:
    """Print one table."""
    forms: dict[Head, Model] = {head: export_model(model, GraphForm(head)) for head in HEADS}
    backends = {head: create_backend(engine, form, "cpu").open() for head, form in forms.items()}
    for lines in BATCHES:
        samples: dict[Head, list[float]] = {head: [] for head in HEADS}
        for number in range(WARM_UP + rounds):
            for head in random.sample(HEADS, len(HEADS)):
                value = run_ms(backends[head], lines)
                if number >= WARM_UP:
                    samples[head].append(value)
        for head, values in samples.items():
            ratios = [value / full for value, full in zip(values, samples["full"], strict=True)]
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                peak = pool.submit(peak_mib, engine, forms[head], lines).result()
            print(
                f"{engine:<12} {len(model.labels):>6} classes  batch {lines}  {head:<7}"
                f" {statistics.median(values):8.2f} ms  {statistics.median(ratios) - 1:+7.1%}  peak {peak:6.0f} MiB"
            )
    for backend in backends.values():
        backend.close()


@click.command()
@click.option("--rounds", default=9, show_default=True)
def main(rounds: int) -> None:
    """Compare the head forms."""
    # Imports Paddle, which the measured processes, that import this module, must not.
    from benchmarks.reference_models.models import write_model  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as work:
        large = load_model(write_model("PP-OCRv5_mobile_rec", Path(work) / "v5"))
        for model in (find_model("PP-OCRv4_mobile_rec"), large):
            for engine in ENGINES:
                measure(engine, model, rounds)


if __name__ == "__main__":
    main()
