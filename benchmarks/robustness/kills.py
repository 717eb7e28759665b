"""Commands that are killed, and commands that all start at once, on caches of their own."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.robustness.rows import LONG_S, MODEL, row
from ocrhpi.loader import find_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.robustness.rows import Row

_OCRHPI = (sys.executable, "-m", "ocrhpi")
_PIECES, _PAUSE_S = 40, 0.02  # a file of the model is sent in pieces, so that kills fall between them


@dataclass(frozen=True)
class _Command:
    """A command that is killed.

    Attributes:
        name: What it does.
        arguments: Of ``ocrhpi``; ``WORK`` stands for a folder of its own.
        made: The files that it makes, below that folder; they must be those of a command that nobody killed.
        environment: What its environment has besides.
    """

    name: str
    arguments: Sequence[str]
    made: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def start(self, work: Path) -> subprocess.Popen[bytes]:
        work.mkdir(parents=True, exist_ok=True)
        own = {"OCRHPI_CACHE_DIR": str(work / "cache"), "TMPDIR": str(work), **self.environment}
        return subprocess.Popen(  # noqa: S603 - our own command
            [*_OCRHPI, *(argument.replace("WORK", str(work)) for argument in self.arguments)],
            env={**os.environ, **own},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def result(self, work: Path) -> dict[str, str]:
        """Return path and SHA-256 of the files that it made."""
        made = sorted(work.glob(self.made)) if self.made else []
        return {str(path.relative_to(work)): hashlib.sha256(path.read_bytes()).hexdigest() for path in made}


def kills(files: Sequence[str], times: int) -> Iterator[Row]:
    """Kill commands at random moments; each must then do its work as if nothing had been."""
    folder, model = str(Path(files[0]).parent), str(find_model(MODEL).path)
    normal = ("--model", model, "--rows_per_part", "4", "--use_hpip", "false")
    with _slow_hub(Path(model)) as hub:
        pulled = {"HF_ENDPOINT": hub}
        for command in (
            _Command("exporting", ["export", model, "-o", "WORK/exported", "--masked"], "exported/*.onnx"),
            _Command(
                "pulling a model", ["models", "pull", MODEL, "--source", "huggingface"], "cache/**/inference.*", pulled
            ),
            _Command("reading a batch", ["batch", folder, "-o", "WORK/out", *normal], "out/part-*.jsonl"),
            _Command("tuning", ["tune", model, "--budget", "8", "--json"]),
        ):
            yield _kills_of(command, times)


def _kills_of(command: _Command, times: int) -> Row:
    outcome: Counter[str] = Counter()
    begin = time.monotonic()
    rng = random.Random(command.name)  # noqa: S311 - not for secrets
    with tempfile.TemporaryDirectory() as root:
        whole = Path(root, "whole")
        first = time.monotonic()
        process = command.start(whole)
        _, told = process.communicate(timeout=LONG_S)
        if process.returncode:
            raise RuntimeError(f"{command.name}: {told.decode(errors='replace')}")
        usual, expected = time.monotonic() - first, command.result(whole)
        for number in range(times):
            moment = rng.uniform(0.02, 0.98) * usual
            outcome[_killed(command, Path(root, str(number)), moment, expected)] += 1
    return row("kills", f"SIGKILL while {command.name}, and again", times, outcome, time.monotonic() - begin)


def _killed(command: _Command, work: Path, moment: float, expected: Mapping[str, str]) -> str:
    process = command.start(work)
    try:
        process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        _kill(process)
    again = command.start(work)
    try:
        _, told = again.communicate(timeout=LONG_S)
    except subprocess.TimeoutExpired:
        _kill(again)
        return "hangs"
    left = list(work.rglob("*.tmp"))
    same = command.result(work) == expected
    shutil.rmtree(work)
    if again.returncode:
        return f"exit status {again.returncode}: {told.decode(errors='replace').strip().splitlines()[-1:]}"
    if not same:
        return "done, but made something else"
    return f"done, but left {left[0].name}" if left else "done"


def _kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


class _SlowFiles(BaseHTTPRequestHandler):
    """Serves the files of one model as a hub does, slowly, from any byte on."""

    model = Path()

    def do_GET(self) -> None:
        file = self.model / self.path.rpartition("/")[2]
        if not file.is_file():
            self.send_error(404)
            return
        content = file.read_bytes()
        start = int((re.findall(r"\d+", self.headers.get("Range", "")) or ["0"])[0])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", '"1"')
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        step = max(1, len(content) // _PIECES)
        with suppress(ConnectionError):
            for place in range(start, len(content), step):
                self.wfile.write(content[place : place + step])
                time.sleep(_PAUSE_S)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def _slow_hub(model: Path) -> Iterator[str]:
    handler = type("Files", (_SlowFiles,), {"model": model})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{hub.server_port}"
        finally:
            hub.shutdown()


def cold(files: Sequence[str], times: int) -> Iterator[Row]:
    """Start 8 processes on an empty cache; all must read the same."""
    del times
    program = (
        "import sys, json; from ocrhpi import TextRecognition\n"
        "with TextRecognition(model_dir=sys.argv[1], use_hpip=True, device='cpu') as one:\n"
        "    print(json.dumps([result['rec_text'] for result in one.predict(sys.argv[2:])]))"
    )
    command = [sys.executable, "-c", program, str(find_model(MODEL).path), *files]
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as root, ThreadPoolExecutor(8) as pool:
        environment = {**os.environ, "OCRHPI_CACHE_DIR": f"{root}/cache"}

        def run(_: int) -> subprocess.CompletedProcess[bytes]:
            return subprocess.run(command, env=environment, capture_output=True, timeout=LONG_S, check=False)  # noqa: S603

        runs = list(pool.map(run, range(8)))
        kept = len(list(Path(root, "cache", "hpi").glob("*.yml")))
    texts = Counter(run.stdout for run in runs if not run.returncode)
    outcome = Counter({"the same text": max(texts.values(), default=0)})
    outcome["failed"] = sum(bool(run.returncode) for run in runs)
    outcome[f"tunings kept: {kept}"] = 1
    yield row("cold", "8 processes with use_hpip=True on an empty cache", 8, outcome, time.monotonic() - begin)
