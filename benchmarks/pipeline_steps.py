"""Where the time of the recognition pipeline goes, and what it costs over the bare engine on the same batches.

Run it with ``python -m benchmarks.pipeline_steps FOLDER``. Interleaved rounds in one process, medians. *Steps* runs
reading, preparing, inference and decoding one after the other; *pipeline* is what users call, in which they overlap;
*bare engine* runs the same tensors and throws the results away. Exits with 1 if the pipeline costs 10 % or more over
it.
"""

from __future__ import annotations

import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ocrhpi.assembly import open_reader
from ocrhpi.config.candidate import Candidate
from ocrhpi.loader import find_model
from ocrhpi.recognition.ctc import CtcDecoder
from ocrhpi.recognition.inputs import read_lines
from ocrhpi.values import LineImage

if TYPE_CHECKING:
    from ocrhpi.reading.base import SingleEngineReader
    from ocrhpi.values import Batching

MAX_OVERHEAD = 0.10
STEPS = ("read", "prepare", "infer", "decode")


def time_steps(reader: SingleEngineReader, folder: Path, batch_size: int) -> list[float]:
    """Run the four steps one after the other; return the seconds of each."""
    marks = [time.perf_counter()]
    lines = [line for line in read_lines(folder) if isinstance(line, LineImage)]
    marks.append(time.perf_counter())
    batches = reader.prepare(lines, batch_size=batch_size)
    marks.append(time.perf_counter())
    emissions = [reader.backend.run(*request) for request in batches]
    marks.append(time.perf_counter())
    decoder = CtcDecoder(reader.model.labels)
    for one in emissions:
        decoder.decode(one)
    marks.append(time.perf_counter())
    return [end - start for start, end in pairwise(marks)]


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model_name", default="PP-OCRv4_mobile_rec", show_default=True)
@click.option("--backend", default="openvino", show_default=True)
@click.option("--batching", type=click.Choice(["exact", "masked"]), default="exact", show_default=True)
@click.option("--batch_size", default=8, show_default=True)
@click.option("--rounds", default=9, show_default=True)
def main(folder: Path, model_name: str, backend: str, batching: str, batch_size: int, rounds: int) -> None:
    """Measure the steps of the recognition pipeline on the lines of FOLDER."""
    lines = [line for line in read_lines(folder) if isinstance(line, LineImage)]
    steps: list[list[float]] = []
    pipeline: list[float] = []
    bare: list[float] = []
    mode: Batching = "masked" if batching == "masked" else "exact"
    with open_reader(find_model(model_name), Candidate(backend=backend, batching=mode)) as opened:
        reader = opened.engine_for(0)  # the one that there is
        print(reader.effective)
        batches = reader.prepare(lines, batch_size=batch_size)
        for number in range(rounds + 1):  # the first one is the warm-up
            seconds = time_steps(reader, folder, batch_size)
            start = time.perf_counter()
            reader.read(lines, batch_size=batch_size)
            middle = time.perf_counter()
            for request in batches:
                reader.backend.run(*request)
            end = time.perf_counter()
            if number:
                steps.append(seconds)
                pipeline.append(middle - start)
                bare.append(end - middle)
    medians = [statistics.median(column) for column in zip(*steps, strict=True)]
    for name, median in zip(STEPS, medians, strict=True):
        print(f"{name:<8} {1e3 * median / len(lines):7.3f} ms per line  {median / sum(medians):6.1%}")
    overhead = statistics.median(one / other for one, other in zip(pipeline, bare, strict=True)) - 1
    print(f"pipeline {len(lines) / statistics.median(pipeline):.1f} lines/s over the bare engine: {overhead:+.1%}")
    sys.exit(overhead >= MAX_OVERHEAD)


if __name__ == "__main__":
    main()
