"""Ways in which hosts, users and machines treat a recogniser, each as often as asked for, and what came of it.

    python -m benchmarks.robustness LINES -o DIR [--scenario NAME ...] [--times 50]

LINES holds images of single lines. Scenarios:

- ``callers``: one predictor of each engine, called by 8 threads, by asyncio, by forked and by spawned processes;
- ``inputs``: 1,000 lines, one of which cannot be read, in 30 kinds;
- ``kills``: SIGKILL at a random moment of tuning, exporting and a batch, then the same command again;
- ``cold``: 8 processes at once on an empty cache.

``DIR/robustness.json`` has a row for each, ``DIR/robustness.md`` the table. A scenario that was run before is replaced.
"""

from __future__ import annotations

import asyncio
import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click
import numpy as np
from PIL import Image

from ocrhpi import load_predictor
from ocrhpi.loader import find_model
from ocrhpi.machine import describe_machine
from ocrhpi.recognition.inputs import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ocrhpi.predictor import Predictor

Row: TypeAlias = dict[str, Any]

MODEL = "PP-OCRv4_mobile_rec"
ENGINES = ("paddle", "onnxruntime", "openvino")
_CALLS = 8
_LONG_S = 300.0  # after which something counts as hanging
_predictor: Predictor | None = None
_files: list[str] = []


def _texts(batch_size: int = 8) -> list[str]:
    assert _predictor is not None  # noqa: S101 - set by the scenario
    return [result["rec_text"] for result in _predictor.predict(_files, batch_size=batch_size)]


def _open_and_read(engine: str, files: list[str]) -> list[str]:
    with load_predictor(MODEL, backend=engine, device="cpu") as predictor:
        return [result["rec_text"] for result in predictor.predict(files, batch_size=8)]


def callers(files: Sequence[str], times: int) -> Iterator[Row]:
    """Call one predictor in all the ways that hosts have, and compare the texts with those of one caller."""
    del times
    for engine in ENGINES:
        with load_predictor(MODEL, backend=engine, device="cpu") as predictor:
            globals().update(_predictor=predictor, _files=list(files))
            expected = _texts()
            for way, run in (("8 threads", _threads), ("asyncio", _asyncio), ("fork", _fork), ("spawn", _spawn)):
                start = time.monotonic()
                try:
                    got = run(engine)
                    outcome = Counter("equal" if texts == expected else "other text" for texts in got)
                except Exception as error:  # noqa: BLE001 - it is what the table is about
                    outcome = Counter({f"{type(error).__name__}: {str(error)[:120]}": 1})
                yield _row("callers", f"{engine}, {way}", _CALLS, outcome, time.monotonic() - start)


def _threads(engine: str) -> list[list[str]]:
    del engine
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(_texts, [1, 4, 8, 8] * (_CALLS // 4)))


def _asyncio(engine: str) -> list[list[str]]:
    del engine

    async def all_at_once() -> list[list[str]]:
        return list(await asyncio.gather(*(asyncio.to_thread(_texts) for _ in range(_CALLS))))

    return asyncio.run(all_at_once())


def _fork(engine: str) -> list[list[str]]:
    del engine
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map_async(_texts, [8] * _CALLS).get(_LONG_S)


def _spawn(engine: str) -> list[list[str]]:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return pool.starmap_async(_open_and_read, [(engine, _files)] * _CALLS, chunksize=4).get(_LONG_S)


def inputs(files: Sequence[str], times: int) -> Iterator[Row]:
    """Read 1,000 lines with one among them that cannot be read."""
    del times
    lines = [files[number % len(files)] for number in range(1000)]
    kinds = list(_unreadable(Path(files[0])))
    with load_predictor(MODEL, backend="openvino", device="cpu", batching="split") as predictor:
        expected = [result["rec_text"] for result in predictor.predict(lines, batch_size=8)]
        outcome: Counter[str] = Counter()
        start = time.monotonic()
        for number, (kind, bad) in enumerate(kinds):
            place = 37 * number % 1000
            mixed: list[Any] = [*lines[:place], bad, *lines[place + 1 :]]
            read = predictor.predict(mixed, batch_size=8, on_error="skip")
            others = [result["rec_text"] for result in read]
            told = read[place]["error"] is not None and others[place] == ""
            others[place] = expected[place]
            good = told and others == expected
            outcome["told, 999 equal" if good else f"{kind}: {'other text' if told else 'not told'}"] += 1
    yield _row("inputs", f"one unreadable of 1,000, {len(kinds)} kinds", len(kinds), outcome, time.monotonic() - start)


def _unreadable(image: Path) -> Iterator[tuple[str, Any]]:
    """Yield kinds of inputs that cannot be read as a line."""
    whole = image.read_bytes()
    picture = Image.open(image).convert("RGB")
    for name in ("JPEG", "WEBP", "BMP", "GIF", "TIFF", "PNG"):
        buffer = io.BytesIO()
        picture.save(buffer, name)
        yield f"{name}, cut off", buffer.getvalue()[: len(buffer.getvalue()) // 2]
        yield f"{name}, header alone", buffer.getvalue()[:24]
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    yield "PNG, a byte flipped", bytes(flipped)
    yield "nothing", b""
    yield "text", b"this is no image at all, and long enough to be taken for one" * 8
    yield "a web page", b"<!DOCTYPE html><html><body>404</body></html>"
    yield "a PDF cut off", b"%PDF-1.7\n1 0 obj <<"
    yield "a missing file", str(image.with_name("no such file.png"))
    yield "a name of 5,000 letters", "x" * 5000 + ".png"
    yield "a name with NUL", "a\0b.png"
    yield "a URL of nobody", "http://127.0.0.1:1/line.png"
    yield "a URL that is none", "http://[::1/line.png"
    yield "None", None
    yield "a number", 3.5
    yield "an object", object()
    yield "floats", np.zeros((48, 320, 3), np.float32)
    yield "booleans", np.zeros((48, 320, 3), bool)
    yield "no pixels", np.zeros((0, 320, 3), np.uint8)
    yield "five channels", np.zeros((48, 320, 5), np.uint8)
    yield "channels first", np.zeros((3, 48, 320), np.uint8)


def kills(files: Sequence[str], times: int) -> Iterator[Row]:
    """Kill commands at random moments; each must then do its work as if nothing had been."""
    folder = str(Path(files[0]).parent)
    ocrhpi = [sys.executable, "-m", "ocrhpi"]
    model = str(find_model(MODEL).path)
    normal = ["--rows_per_part", "4", "--use_hpip", "false"]
    commands: dict[str, Callable[[Path], list[str]]] = {
        "exporting": lambda work: [*ocrhpi, "export", model, "-o", str(work / "exported"), "--masked"],
        "reading a batch": lambda work: [*ocrhpi, "batch", folder, "-o", str(work / "out"), "--model", model, *normal],
        "tuning": lambda _: [*ocrhpi, "tune", model, "--budget", "8", "--json"],
    }
    for name, command in commands.items():
        outcome: Counter[str] = Counter()
        start = time.monotonic()
        chance = random.Random(name)  # noqa: S311 - not for secrets
        with tempfile.TemporaryDirectory() as root:
            first = time.monotonic()
            _run(command(Path(root) / "timed"), Path(root) / "timed")
            usual = time.monotonic() - first
            for number in range(times):
                outcome[_killed(command, Path(root) / str(number), chance.uniform(0.02, 0.98) * usual)] += 1
        yield _row("kills", f"SIGKILL while {name}, and again", times, outcome, time.monotonic() - start)


def _run(command: list[str], work: Path) -> subprocess.CompletedProcess[bytes]:
    work.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OCRHPI_CACHE_DIR": str(work / "cache"), "TMPDIR": str(work)}
    return subprocess.run(command, env=environment, capture_output=True, timeout=_LONG_S, check=False)  # noqa: S603


def _killed(command: Callable[[Path], list[str]], work: Path, moment: float) -> str:
    work.mkdir(parents=True)
    environment = {**os.environ, "OCRHPI_CACHE_DIR": str(work / "cache"), "TMPDIR": str(work)}
    process = subprocess.Popen(  # noqa: S603
        command(work), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    try:
        again = _run(command(work), work)
    except subprocess.TimeoutExpired:
        return "hangs"
    left = list(work.rglob("*.tmp"))
    said = again.stderr.decode(errors="replace").strip().splitlines()[-1:]
    shutil.rmtree(work)
    if again.returncode:
        return f"exit status {again.returncode}: {said}"
    return f"done, but left {left[0].name}" if left else "done"


def cold(files: Sequence[str], times: int) -> Iterator[Row]:
    """Start 8 processes on an empty cache; all must read the same."""
    del times
    program = (
        "import sys, json; from ocrhpi import TextRecognition\n"
        "with TextRecognition(model_dir=sys.argv[1], use_hpip=True, device='cpu') as one:\n"
        "    print(json.dumps([result['rec_text'] for result in one.predict(sys.argv[2:])]))"
    )
    command = [sys.executable, "-c", program, str(find_model(MODEL).path), *files]
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as root, ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: _run(command, Path(root)), range(8)))
        kept = len(list((Path(root) / "cache" / "hpi").glob("*.yml")))
    texts = Counter(run.stdout for run in runs if not run.returncode)
    outcome = Counter({"the same text": max(texts.values(), default=0)})
    outcome["failed"] = sum(bool(run.returncode) for run in runs)
    outcome[f"tunings kept: {kept}"] = 1
    yield _row("cold", "8 processes with use_hpip=True on an empty cache", 8, outcome, time.monotonic() - start)


def _row(scenario: str, what: str, times: int, outcome: Counter[str], seconds: float) -> Row:
    came = {name: count for name, count in outcome.items() if count}
    return {"scenario": scenario, "what": what, "times": times, "outcome": came, "seconds": round(seconds, 1)}


SCENARIOS = {"callers": callers, "inputs": inputs, "kills": kills, "cold": cold}


@click.command()
@click.argument("lines", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--scenario", "names", multiple=True, type=click.Choice(list(SCENARIOS)), help="[default: all]")
@click.option("--times", default=50, show_default=True, help="Kills of each command.")
def main(lines: Path, output: Path, names: tuple[str, ...], times: int) -> None:
    """Run the scenarios on the lines in LINES."""
    files = sorted(str(path) for path in lines.iterdir() if path.suffix.lower() in SUFFIXES)
    output.mkdir(parents=True, exist_ok=True)
    file = output / "robustness.json"
    raw: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    for name in names or SCENARIOS:
        rows = []
        for row in SCENARIOS[name](files, times):
            click.echo(f"{row['what']}: {row['outcome']} in {row['seconds']} s")
            rows.append(row)
        raw = {**raw, "machine": describe_machine(), "rows": [*_others(raw, name), *rows]}
        file.write_text(json.dumps(raw, indent=1), "utf-8")
    (output / "robustness.md").write_text(_table(raw["rows"]), "utf-8")


def _others(raw: dict[str, Any], name: str) -> list[Row]:
    return [row for row in raw.get("rows", []) if row["scenario"] != name]


def _table(rows: Sequence[Row]) -> str:
    lines = ["| what | times | what came of it | s |", "|---|--:|---|--:|"]
    for row in rows:
        came = "; ".join(f"{name}: {count}" for name, count in row["outcome"].items())
        lines.append(f"| {row['what']} | {row['times']} | {came} | {row['seconds']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
