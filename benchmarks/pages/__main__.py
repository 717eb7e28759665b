"""``python -m benchmarks.pages``: see the package's docstring."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import cv2
from rich.console import Console
from rich.table import Table

from benchmarks.pages.models import fetch_detection_model
from benchmarks.pages.pictures import make_pages
from benchmarks.pages.systems import SYSTEMS
from ocrhpi.cache import cache_root
from ocrhpi.loader import find_model
from ocrhpi.machine import usable_cores

_DETECTION = "PP-OCRv4_mobile_det"
_TRIALS = 4  # rounds in which replace_hpi still compares engines of the detection model, and one to warm up


class Reader:
    """A worker, and what it answered."""

    def __init__(self, name: str, request: dict[str, Any], log: Path) -> None:
        self.name = name
        self.rounds: list[dict[str, Any]] = []
        command = [sys.executable, "-m", "benchmarks.pages.worker", json.dumps(request)]
        with log.open("w") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self.first = self._answer()
        self.error: str | None = self.first.get("error")

    def read(self, *, timed: bool) -> None:
        """Read all pages once."""
        if self.error is None:
            assert self._process.stdin is not None  # noqa: S101 - a pipe
            print(file=self._process.stdin, flush=True)
            answer = self._answer()
            self.error = answer.get("error")
            if timed and self.error is None:
                self.rounds.append(answer)

    def close(self) -> None:
        """End the worker."""
        self._process.communicate()

    def median(self, what: str) -> float:
        """Seconds a page: the median over rounds of the sum over pages, divided by the pages."""
        seconds: list[float] = [sum(one[what]) / len(one[what]) for one in self.rounds]
        return statistics.median(seconds)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "its process died; see the log"}
        return answer


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model_name", default="PP-OCRv4_mobile_rec", show_default=True)
@click.option("--model_dir", type=click.Path(exists=True, path_type=Path), help="Instead of fetching it.")
@click.option("--pages", default=3, show_default=True, help="Pages that the lines are dealt out to.")
@click.option("--rendered", default=20, show_default=True, help="Rendered lines on one more page; 0: no such page.")
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1))
@click.option("--threads", default=usable_cores, show_default="usable cores", type=click.IntRange(1))
def main(
    folder: Path, model_name: str, model_dir: Path | None, pages: int, rendered: int, rounds: int, threads: int
) -> None:
    """Time PaddleOCR's pipeline on pages of the lines in FOLDER."""
    model = find_model(model_dir or model_name)
    with tempfile.TemporaryDirectory() as work:
        files = []
        for name, page in make_pages(folder, pages, rendered).items():
            files.append(str(Path(work) / f"{name}.png"))
            cv2.imwrite(files[-1], page)
        common = {
            "pages": files,
            "detection": str(fetch_detection_model(_DETECTION, cache_root() / "benchmarks")),
            "recognition": str(model.path),
            "model_name": model.name,
            "threads": threads,
        }
        readers = []
        for number, system in enumerate(SYSTEMS):
            print(f"opening {system.name} ...", flush=True)
            readers.append(Reader(system.name, {**common, "system": number}, Path(work) / f"{number}.log"))
        for reader, system in zip(readers, SYSTEMS, strict=True):
            for _ in range(_TRIALS if system.replace_hpi else 0):  # the others have warmed up
                reader.read(timed=False)
        for number in range(rounds):
            for reader in readers[number % len(readers) :] + readers[: number % len(readers)]:
                reader.read(timed=True)
            print(f"round {number + 1} of {rounds}", flush=True)
        for reader in readers:
            reader.close()
    _print(readers, len(files), rounds, threads)


def _print(readers: list[Reader], pages: int, rounds: int, threads: int) -> None:
    running = [reader for reader in readers if reader.error is None]
    reference = next(reader for reader in running if reader.name.startswith("PaddleOCR"))
    lines = sum(map(len, reference.first["texts"]))
    title = f"{pages} pages, {lines} lines; {threads} threads; medians of {rounds} rounds"
    table = Table("system", "ms/page", "recognition", "times as fast", "boxes", "texts", title=title)
    for reader in readers:
        if reader.error is not None:
            table.add_row(reader.name, "-", "-", "-", "-", f"does not run: {reader.error}")
            continue
        seconds = reader.median("seconds")
        table.add_row(
            reader.name,
            f"{1e3 * seconds:.0f}",
            f"{reader.median('recognition') / seconds:.0%}",
            f"{reference.median('seconds') / seconds:.2f}",
            _equal(reader, reference, "boxes"),
            _equal(reader, reference, "texts"),
        )
    Console(width=150).print(table)
    print(f"compared with: {reference.name}")


def _equal(reader: Reader, reference: Reader, what: str) -> str:
    """Say how many of the lines are the reference's, in the worst round."""
    ours = [[item for page in one[what] for item in page] for one in reader.rounds]
    expected = [item for page in reference.first[what] for item in page]
    differing = max(
        abs(len(one) - len(expected)) + sum(a != b for a, b in zip(one, expected, strict=False)) for one in ours
    )
    return "equal" if not differing else f"{differing} of {len(expected)} differ"


if __name__ == "__main__":
    main()
