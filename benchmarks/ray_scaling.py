"""Ray against one process, memory over many lines, and what is left of a batch after ``kill -9``.

Run one part at a time, on an otherwise idle machine; each starts a local cluster of its own and exits with 1 if what
it is to show does not hold:

- ``python -m benchmarks.ray_scaling rate``: lines per second with 1 and 2 actors, against one process of all cores
- ``python -m benchmarks.ray_scaling soak``: resident set over 50,000 lines
- ``python -m benchmarks.ray_scaling kill``: an actor is killed in the middle; every row is there once
- ``python -m benchmarks.ray_scaling resume``: ``ocrhpi batch`` is killed again and again; every row is there once

The lines are those of ``tests/data/lines``, over and over, as encoded images. Where nothing is cached, high-performance
mode measures first: for a minute for each number of threads.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import psutil

from ocrhpi.batch.recognizer import LineRecognizer
from ocrhpi.integrations.ray import recognize
from ocrhpi.machine import usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ray.data import Dataset

LINES = Path(__file__).parents[1] / "tests" / "data" / "lines"
MAX_LOSS = 0.10
BLOCK_ROWS = 256
SAMPLE_S = 5.0
WARM_UP_SHARE = 0.2


class Lines:
    """Rows for a dataset: number -> number and image, the same lines over and over."""

    def __init__(self) -> None:
        self._images = [path.read_bytes() for path in sorted(LINES.glob("*.png"))]

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the rows of these numbers."""
        return {"number": batch["id"], "image": [self.image(int(number)) for number in batch["id"]]}

    def image(self, number: int) -> bytes:
        """Return one line."""
        return self._images[number % len(self._images)]


def dataset_of(count: int) -> Dataset:
    """Return lines that are made while they are read, in blocks of `BLOCK_ROWS`."""
    import ray  # noqa: PLC0415 - an extra

    numbers = ray.data.range(count, override_num_blocks=count // BLOCK_ROWS)
    return numbers.map_batches(Lines(), batch_size=BLOCK_ROWS)


def whole_blocks(_: click.Context, __: click.Parameter, count: int) -> int:
    """Round a number of lines to blocks, of which there are some for every actor."""
    return BLOCK_ROWS * max(8, round(count / BLOCK_ROWS))


def start_ray(cpus: int) -> None:
    """Start a cluster here."""
    import ray  # noqa: PLC0415

    ray.init(num_cpus=cpus, include_dashboard=False, log_to_driver=False, object_store_memory=1 << 30)
    ray.data.DataContext.get_current().enable_progress_bars = False


def timed(tables: Iterator[int], readers: int) -> tuple[float, float]:
    """Return lines per second while all readers read, and in all, their start included.

    The time counts from the table with which each may have made one, up to that after which one may have no more to
    read. So what is half read at the start of it is as much as at its end.

    Args:
        tables: Yields the rows of each table when it is read.
        readers: How many read at once.
    """
    start = time.perf_counter()
    marks = [(time.perf_counter() - start, rows) for rows in tables]
    counted = marks[readers - 1 : len(marks) - readers + 1]
    seconds = counted[-1][0] - counted[0][0]
    return sum(rows for _, rows in counted[1:]) / seconds, sum(rows for _, rows in marks) / marks[-1][0]


def single_process(options: dict[str, Any], count: int) -> Iterator[int]:
    """Read in this process, in tables as large as Ray's blocks."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    recognizer, lines = LineRecognizer(**options, device="cpu", threads=usable_cores()), Lines()
    for first in range(0, count, BLOCK_ROWS):
        numbers = range(first, min(first + BLOCK_ROWS, count))
        yield recognizer(pa.table({"image": [lines.image(number) for number in numbers]})).num_rows


def on_ray(options: dict[str, Any], count: int, actors: int) -> Iterator[int]:
    """Read with so many actors, which share the cores."""
    cpus = usable_cores() // actors
    read = recognize(dataset_of(count), **options, num_actors=actors, cpus_per_actor=cpus, block_rows=BLOCK_ROWS)
    for table in read.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield table.num_rows


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what reads."""
    model = click.option("--model_name", default="PP-OCRv4_mobile_rec", show_default=True)
    config = click.option("--hpi_config", help="YAML file, in place of measuring.")
    return model(config(command))


@click.group()
def main() -> None:
    """Show what Ray costs, and what it keeps."""


@main.command()
@click.option("--lines", "count", default=4096, callback=whole_blocks, show_default=True, help="In each run.")
@click.option("--rounds", default=5, show_default=True)
@reading_options
def rate(count: int, rounds: int, **options: Any) -> None:  # noqa: ANN401
    """Lines per second with 1 and 2 actors, against one process with as many cores; interleaved rounds."""
    start_ray(usable_cores())
    modes: dict[str, Callable[[], tuple[float, float]]] = {
        "one process": lambda: timed(single_process(options, count), 1),
        "1 actor": lambda: timed(on_ray(options, count, 1), 1),
        "2 actors": lambda: timed(on_ray(options, count, 2), 2),
    }
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in modes}
    for number in range(rounds + 1):  # the first one is the warm-up, and measures what is to run
        for name in random.sample(list(modes), len(modes)):
            found = modes[name]()
            print(f"round {number}: {name:<12} {found[0]:8.1f} lines/s, with its start {found[1]:8.1f}", flush=True)
            if number:
                measured[name].append(found)
    losses = {}
    for name in list(modes)[1:]:
        ratios = [ray[0] / one[0] for ray, one in zip(measured[name], measured["one process"], strict=True)]
        losses[name] = 1 - statistics.median(ratios)
        print(f"{name}: loss {losses[name]:+.1%} (per round: {', '.join(f'{1 - ratio:+.1%}' for ratio in ratios)})")
    sys.exit(max(losses.values()) >= MAX_LOSS)


def resident_mib() -> dict[str, float]:
    """Return the resident set of the actors and of the driver, in MiB, without the memory that Ray shares."""
    found = {"driver": psutil.Process()}
    for process in psutil.Process().children(recursive=True):
        if _title(process).startswith("ray::MapWorker"):
            found[f"actor {process.pid}"] = process
    return {name: _private(process) for name, process in found.items()}


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _private(process: psutil.Process) -> float:
    try:
        memory = process.memory_info()
    except psutil.Error:
        return 0.0
    return float(memory.rss - getattr(memory, "shared", 0)) / 2**20


@main.command()
@click.option("--lines", "count", default=50_000, callback=whole_blocks, show_default=True)
@click.option("--actors", default=2, show_default=True)
@click.option("--allowed", default=64.0, show_default=True, help="MiB that each may grow after the warm-up.")
@reading_options
def soak(count: int, actors: int, allowed: float, **options: Any) -> None:  # noqa: ANN401
    """Read many lines and watch the resident sets."""
    start_ray(usable_cores())
    start = last = time.perf_counter()
    seen: dict[str, list[tuple[int, float]]] = {}
    done = 0
    for rows in on_ray(options, count, actors):
        done += rows
        if time.perf_counter() - last >= SAMPLE_S or done == count:
            last = time.perf_counter()
            for name, mib in resident_mib().items():
                seen.setdefault(name, []).append((done, mib))
            shown = ", ".join(f"{name} {samples[-1][1]:.0f}" for name, samples in seen.items())
            print(f"{done:>7} lines  {last - start:7.1f} s  MiB: {shown}", flush=True)
    growth = {name: _growth(samples, WARM_UP_SHARE * count) for name, samples in seen.items()}
    for name, mib in growth.items():
        print(f"{name}: {mib:+.1f} MiB after the warm-up (allowed {allowed:g})")
    print(f"{done} of {count} lines")
    sys.exit(done != count or max(growth.values()) > allowed)


def _growth(samples: list[tuple[int, float]], warm: float) -> float:
    """Return the mean of the last quarter of the samples after the warm-up, over that of the first."""
    after = [mib for done, mib in samples if done >= warm] or [samples[-1][1]]
    quarter = max(1, len(after) // 4)
    return statistics.mean(after[-quarter:]) - statistics.mean(after[:quarter])


@main.command()
@click.option("--lines", "count", default=4096, callback=whole_blocks, show_default=True)
@click.option("--actors", default=2, show_default=True)
@reading_options
def kill(count: int, actors: int, **options: Any) -> None:  # noqa: ANN401
    """Kill an actor in the middle of a dataset; all rows must come, once each, as if nothing had happened."""
    start_ray(usable_cores())
    lines = Lines()
    expected = LineRecognizer(**options, device="cpu", threads=usable_cores() // actors)
    sample = sorted({lines.image(number) for number in range(count)})
    texts = dict(zip(sample, expected({"image": sample})["rec_text"], strict=True))
    cpus = usable_cores() // actors
    read = recognize(dataset_of(count), **options, num_actors=actors, cpus_per_actor=cpus, block_rows=BLOCK_ROWS)
    rows: list[dict[str, Any]] = []
    killed = False
    for table in read.iter_batches(batch_size=None, batch_format="pyarrow"):
        rows += table.to_pylist()
        if not killed and len(rows) >= count // 3:
            killed = _kill_an_actor()
    _report(killed, Counter(row["number"] for row in rows), count)
    wrong = sum(row["rec_text"] != texts[row["image"]] for row in rows)
    print(f"{wrong} texts differ")
    sys.exit(not killed or wrong > 0 or sorted(row["number"] for row in rows) != list(range(count)))


def _kill_an_actor() -> bool:
    for process in psutil.Process().children(recursive=True):
        if _title(process).startswith("ray::MapWorker"):
            process.kill()
            print(f"killed {process.pid}", flush=True)
            return True
    return False


def _report(killed: object, found: Counter[Any], count: int) -> None:
    doubled = sum(times - 1 for times in found.values())
    print(f"killed: {killed}; {count - len(found)} of {count} rows lost, {doubled} doubled")


@main.command()
@click.option("--lines", "count", default=2000, show_default=True)
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True)
@click.option("--kills", default=5, show_default=True)
@reading_options
def resume(count: int, engine: str, kills: int, model_name: str, hpi_config: str | None) -> None:
    """Kill ``ocrhpi batch`` with all its processes again and again, then let it end; all rows must be there once."""
    lines, rng = Lines(), random.Random(0)  # noqa: S311 - no secret
    with tempfile.TemporaryDirectory() as place:
        folder, output = Path(place) / "lines", Path(place) / "out"
        folder.mkdir()
        for number in range(count):
            (folder / f"{number:07}.png").write_bytes(lines.image(number))
        command = [sys.executable, "-c", "from ocrhpi.cli import main; main()", "batch", str(folder), "-o", str(output)]
        command += ["--engine", engine, "--model", model_name, "--rows_per_part", "64"]
        command += ["--hpi_config", hpi_config] if hpi_config else []
        for _ in range(kills):
            _run_and_kill(command, output, rng)
            print(f"{len(list(output.glob('part-*')))} parts after a kill", flush=True)
        subprocess.run(command, check=True)  # noqa: S603 - our own command
        parts = sorted(output.glob("part-*"))
        rows = [json.loads(line) for part in parts for line in part.read_text("utf-8").splitlines()]
    found = Counter(row["rec_id"] for row in rows)
    _report(kills, found, count)
    wrong = _differing(rows)
    print(f"{wrong} texts differ between copies of the same line")
    sys.exit(wrong > 0 or len(rows) != count or len(found) != count)


def _run_and_kill(command: list[str], output: Path, rng: random.Random) -> None:
    """Start it, and kill its whole process group a moment after it has written a part more."""
    before = len(list(output.glob("part-*")))
    with subprocess.Popen(command, start_new_session=True) as process:  # noqa: S603
        while process.poll() is None and len(list(output.glob("part-*"))) <= before:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 3))
        if process.poll() is None:
            for one in (*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)):
                one.kill()


def _differing(rows: list[dict[str, Any]]) -> int:
    images = len(list(LINES.glob("*.png")))
    texts: dict[int, Counter[str]] = {}
    for row in rows:
        texts.setdefault(int(Path(row["path"]).stem) % images, Counter())[row["rec_text"]] += 1
    return sum(sum(counts.values()) - max(counts.values()) for counts in texts.values())


if __name__ == "__main__":
    main()
