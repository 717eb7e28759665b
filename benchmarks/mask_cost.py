"""What the width mask costs over the plain graph: the engine alone, both graphs loaded, interleaved rounds.

    python -m benchmarks.mask_cost [--model NAME] [--backend openvino] [--rounds 15]

Lines of a batch end a few pixels before its width, each somewhere else. Prints, for each shape, the median of the
ratios within a round with its bootstrap 95 % interval.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import click
import numpy as np

from ocrhpi.assembly import open_reader
from ocrhpi.config.candidate import Candidate
from ocrhpi.loader import find_model
from ocrhpi.measuring.statistic import paired_ratio

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrhpi.backends.base import Backend

SHAPES = ((8, 320), (4, 640), (1, 640), (1, 1344))
_CALLS = 3
_WARM_UP = 3


def runner(backend: Backend, rows: int, width: int) -> Callable[[], float]:
    """Return what runs a batch of this shape a few times, and gives the seconds of one."""
    rng = np.random.default_rng(0)
    batch = rng.uniform(-1, 1, (rows, 3, backend.model.spec.height, width)).astype(np.float32)
    widths = np.array([width - 7 * row for row in range(rows)], np.int32) if backend.masked else None

    def run() -> float:
        start = time.perf_counter()
        for _ in range(_CALLS):
            backend.run(batch, widths)
        return (time.perf_counter() - start) / _CALLS

    return run


@click.command()
@click.option("--model", "name", default="PP-OCRv4_mobile_rec", show_default=True)
@click.option("--backend", default="openvino", show_default=True)
@click.option("--rounds", default=15, show_default=True)
def main(name: str, backend: str, rounds: int) -> None:
    """Time both graphs."""
    model = find_model(name)
    plain = Candidate(backend=backend, device="cpu")
    masked = Candidate(backend=backend, device="cpu", batching="masked")
    with open_reader(model, plain) as one, open_reader(model, masked) as other:
        engines = [reader.engine_for(0).backend for reader in (one, other)]
        for rows, width in SHAPES:
            runners = [runner(engine, rows, width) for engine in engines]
            samples: list[list[float]] = [[], []]
            for number in range(_WARM_UP + rounds):
                for which in random.sample(range(2), 2):
                    seconds = runners[which]()
                    if number >= _WARM_UP:
                        samples[which].append(seconds)
            ratio = paired_ratio(samples[1], samples[0])
            medians = [1e3 * float(np.median(column)) for column in samples]
            print(f"{rows} x {width}: plain {medians[0]:.1f} ms, masked {medians[1]:.1f} ms, {ratio}", flush=True)


if __name__ == "__main__":
    main()
