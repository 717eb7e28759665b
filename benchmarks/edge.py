"""An edge bundle against RapidOCR and PaddleOCR: installed size, start, memory and speed, on one core and on two.

    python -m benchmarks.edge FOLDER LABELS --bundle PYTHON BUNDLE [--rapidocr PYTHON] [--paddleocr PYTHON] -o FILE.json

FOLDER holds the lines, LABELS (columns file, text) names them; the first of them is the first text. Each PYTHON is the
interpreter of an environment that has this one system: for a bundle ``ocrhpi-edge`` and its engine. All systems run the
same network. In each round, on each set of cores, every system starts once, in random order, one at a time: from the
start of the process to its first text (wall time), resident memory then and after all lines, and lines a second, one
line a call. The first round warms the disk cache and is not counted; figures are medians. Linux only.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from benchmarks.label_file import read_label_file
from benchmarks.peers.machine import describe_machine
from benchmarks.peers.model_files import find, prepare_model

CHILD = Path(__file__).with_name("edge_child.py")
CHECKOUT = Path(__file__).parents[1]
# Of the environment, not of the systems.
NOT_COUNTED = ("pip", "setuptools", "wheel", "_distutils_hack", "pkg_resources", "distutils-precedence.pth")
MB = 1e6
ASK_SITE = "import sysconfig; print(sysconfig.get_path('platlib'))"

_PYTHON = click.Path(exists=True, dir_okay=False, path_type=Path)
_PATH = click.Path(exists=True, path_type=Path)


@dataclass
class System:
    """One system.

    Attributes:
        name: As the table calls it.
        python: Its interpreter.
        job: What `edge_child` is to do.
    """

    name: str
    python: Path
    job: dict[str, Any]


@dataclass
class Start:
    """One start of a system.

    Attributes:
        first_text_s: From the start of the process to its first text.
        first_mib: Resident memory then.
        resident_mib: Resident memory after all lines.
        peak_mib: Most resident memory.
        lines_per_s: Lines a second, one line a call.
        texts: What it read.
    """

    first_text_s: float
    first_mib: float
    resident_mib: float
    peak_mib: float
    lines_per_s: float
    texts: list[str] = field(repr=False)


def start(system: System, cores: str, passes: int, images: list[str]) -> Start:
    """Start a system on these cores; read all lines."""
    job = {**system.job, "threads": len(cores.split(",")), "passes": passes}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = ["taskset", "--cpu-list", cores, str(system.python), str(CHILD), json.dumps(job), *images]
    with tempfile.TemporaryFile("w+") as log:
        begin = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as process:  # noqa: S603
            assert process.stdout is not None  # noqa: S101 - a pipe was asked for
            first = process.stdout.readline()
            first_text_s = time.perf_counter() - begin
            second = process.stdout.readline()
        if process.returncode or not second:
            log.seek(0)
            raise click.ClickException(f"{system.name} failed:\n{log.read()[-2000:]}")
    early, late = json.loads(first), json.loads(second)
    return Start(
        first_text_s=first_text_s,
        first_mib=early["memory_mib"]["now"],
        resident_mib=late["memory_mib"]["now"],
        peak_mib=late["memory_mib"]["most"],
        lines_per_s=late["lines_per_s"],
        texts=late["texts"],
    )


def installed_mb(system: System) -> float:
    """Return the length of all files of the packages of an environment, bytecode included, and of a bundle."""
    ask = subprocess.run([system.python, "-c", ASK_SITE], capture_output=True, text=True, check=True)  # noqa: S603
    packages = [path for path in Path(ask.stdout.strip()).iterdir() if not path.name.startswith(NOT_COUNTED)]
    files = [file for path in packages for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()]
    bundle = [Path(system.job["bundle"])] if "bundle" in system.job else []
    return sum(file.stat().st_size for file in (*files, *bundle)) / MB


def systems_of(
    bundles: tuple[tuple[Path, Path], ...], peers: dict[str, Path | None], model_name: str, folder: Path
) -> list[System]:
    """Return the systems, with the model in the form that each takes."""
    systems = [
        System(f"bundle {path.name}", python, {"system": "edge", "bundle": str(path)}) for python, path in bundles
    ]
    forms = {"rapidocr": "peer_onnx", "paddleocr": "paddle"}
    files = prepare_model(find(model_name, None), set(forms.values()), folder)  # type: ignore[arg-type]
    engines = {"rapidocr": "onnxruntime", "paddleocr": "paddle_static"}
    for name, python in peers.items():
        if python is not None:
            job = {"model": str(files[forms[name]]), "model_name": model_name, "options": {"engine": engines[name]}}
            systems.append(System(name, python, {"system": name, "checkout": str(CHECKOUT), **job}))
    return systems


def table(sizes: dict[str, float], starts: dict[str, dict[str, list[Start]]]) -> str:
    """Return the medians as a Markdown table."""
    rows = [
        "| system | cores | installed MB | first text s | resident MiB at it | after all | peak | lines/s | texts |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    reference = next(iter(starts.values()))
    expected = next(iter(reference.values()))[0].texts
    for name, of_cores in starts.items():
        for cores, runs in of_cores.items():
            same = sum(text == other for text, other in zip(runs[0].texts, expected, strict=True))
            figures = (
                statistics.median(getattr(run, key) for run in runs)
                for key in ("first_text_s", "first_mib", "resident_mib", "peak_mib", "lines_per_s")
            )
            first_s, *rest = figures
            cells = [f"{first_s:.2f}", *(f"{figure:.1f}" for figure in rest), f"{same} of {len(expected)}"]
            rows.append(f"| {name} | {cores} | {sizes[name]:.0f} | {' | '.join(cells)} |")
    return "\n".join([*rows, "", "texts: as the first row"])


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("labels", type=_PYTHON)
@click.option("--bundle", "bundles", type=(_PYTHON, _PATH), multiple=True, required=True, metavar="PYTHON BUNDLE")
@click.option("--rapidocr", type=_PYTHON, help="Interpreter that has rapidocr.")
@click.option("--paddleocr", type=_PYTHON, help="Interpreter that has paddleocr.")
@click.option(
    "--model_name", default="PP-OCRv4_mobile_rec", show_default=True, help="What the bundles hold, for the peers."
)
@click.option(
    "--cores", multiple=True, default=("0", "0,1"), show_default=True, help="As taskset takes them; may be repeated."
)
@click.option("--lines", type=click.IntRange(1), help="Read this many of the lines, evenly spread. Default: all.")
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True)
@click.option("--passes", type=click.IntRange(1), default=3, show_default=True, help="Over the lines, in each start.")
@click.option("--seed", default=0, show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True)
def main(
    folder: Path,
    labels: Path,
    *,
    bundles: tuple[tuple[Path, Path], ...],
    rapidocr: Path | None,
    paddleocr: Path | None,
    model_name: str,
    cores: tuple[str, ...],
    lines: int | None,
    rounds: int,
    passes: int,
    seed: int,
    output: Path,
) -> None:
    """Measure all systems; write every start as JSON and print the medians."""
    names = list(read_label_file(labels))
    names = names[:: max(1, len(names) // (lines or len(names)))][:lines]
    images = [str((folder / name).resolve()) for name in names]
    with tempfile.TemporaryDirectory() as scratch:
        peers = {"rapidocr": rapidocr, "paddleocr": paddleocr}
        systems = systems_of(bundles, peers, model_name, Path(scratch))
        sizes = {system.name: installed_mb(system) for system in systems}
        starts: dict[str, dict[str, list[Start]]] = {system.name: {one: [] for one in cores} for system in systems}
        rng = random.Random(seed)  # noqa: S311 - an order, not a secret
        for number in range(rounds + 1):
            trials = [(system, one) for system in systems for one in cores]
            for system, one in rng.sample(trials, len(trials)):
                run = start(system, one, passes, images)
                if number:  # the first round warms the disk cache
                    starts[system.name][one].append(run)
            print(f"round {number} of {rounds}", file=sys.stderr)
    raw = {name: {one: [asdict(run) for run in runs] for one, runs in of.items()} for name, of in starts.items()}
    output.write_text(
        json.dumps({"machine": describe_machine(), "installed_mb": sizes, "starts": raw}, ensure_ascii=False, indent=1)
    )
    print(table(sizes, starts))


if __name__ == "__main__":
    main()
