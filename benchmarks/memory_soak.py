"""Stream lines of mixed widths through ``predict_iter`` and print the resident set: it must stay flat.

Run it with ``python -m benchmarks.memory_soak``. The lines are noise with dark strokes, made on the fly, up to
``--widest`` pixels wide; what they say does not matter. After the warm-up the resident set may grow by
``--allowed`` MiB, else it exits with 1.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, get_args

import click
import numpy as np
import psutil
import yaml

from ocrhpi import load_predictor
from ocrhpi.values import Batching

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocrhpi.values import Pixels

REPORTS = 20
WARM_UP_SHARE = 0.1


def noise_lines(count: int, widest: int, narrow: float) -> Iterator[Pixels]:
    """Yield ``count`` images 48 high: a share of ``narrow`` 40 to 320 wide, the others 321 to ``widest``, all alike."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        width = int(rng.integers(40, 321) if rng.random() < narrow else rng.integers(321, widest + 1))
        line = np.full((48, width, 3), 230, np.uint8)
        line[8:40, rng.integers(0, width, width // 4)] = 30
        yield line


@click.command()
@click.option("--lines", "count", default=20_000, show_default=True)
@click.option("--widest", default=1000, show_default=True, help="Pixels.")
@click.option("--narrow", default=2 / 3, show_default=True, help="Share of lines that are padded to 320.")
@click.option("--backend", default="paddle", show_default=True)
@click.option("--batching", type=click.Choice(get_args(Batching)), default="exact", show_default=True)
@click.option("--batch_size", default=8, show_default=True)
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="Of the backend; may be repeated.")
@click.option("--model_name", default="PP-OCRv4_mobile_rec", show_default=True)
@click.option("--allowed", default=64.0, show_default=True, help="MiB the resident set may grow after the warm-up.")
def main(
    *,
    count: int,
    widest: int,
    narrow: float,
    backend: str,
    batching: Batching,
    batch_size: int,
    options: tuple[str, ...],
    model_name: str,
    allowed: float,
) -> None:
    """Read LINES lines and watch the resident set."""
    process = psutil.Process()
    after_warm_up = resident = 0.0  # of the reports, while the engine is loaded
    given = {name: yaml.safe_load(value) for name, _, value in (option.partition("=") for option in options)}
    with load_predictor(model_name, backend=backend, batching=batching, backend_options=given) as predictor:
        print(predictor.effective)
        lines = noise_lines(count, widest, narrow)
        start = time.perf_counter()
        for number, _ in enumerate(predictor.predict_iter(lines, batch_size=batch_size), start=1):
            if number % max(1, count // REPORTS) == 0:
                resident = process.memory_info().rss / 2**20
                if not after_warm_up and number >= WARM_UP_SHARE * count:
                    after_warm_up = resident
                print(
                    f"{number:>7} lines  {time.perf_counter() - start:7.1f} s  resident {resident:7.1f} MiB",
                    flush=True,
                )
    growth = resident - after_warm_up
    print(f"growth after the warm-up: {growth:+.1f} MiB (allowed {allowed:g})")
    sys.exit(growth > allowed)


if __name__ == "__main__":
    main()
