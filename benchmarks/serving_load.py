"""Load on ``ocrhpi serve``: throughput and latency, overload, malformed requests, and a graceful end.

Run it with ``python -m benchmarks.serving_load LINES LABELS [OPTIONS OF ocrhpi serve]``, say ``--hpi_config hpi.yml``.
The server is a process of its own on a free port; this one is the client (aiohttp, one connection a client). Clients
are a closed loop: each sends its next line when the last one is answered, bodies are made beforehand, and every text is
compared with the label. What the client takes of the machine is part of what is measured.

It exits with 1 if a text is wrong, an answer is missing, or the server does not behave.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import math
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.label_file import read_label_file
from benchmarks.malformed_requests import malformed_requests

if TYPE_CHECKING:
    from collections.abc import Iterator

    import aiohttp

ROUTE = "/text-recognition"
HEADERS = {"Content-Type": "application/json"}
CLIENTS = (1, 8, 64)
WARM_UP_S = 2.0
QUEUED_LINES = 256
OVERLOAD = 16  # requests of all lines at once, several times what the queue holds
MALFORMED = 1000
MALFORMED_CLIENTS = 16
OK, FULL = 200, 429
STOP_S = 60.0


@dataclass
class Run:
    """What one number of clients saw."""

    clients: int
    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    wrong: int = 0
    statuses: Counter[int] = field(default_factory=Counter)

    def row(self) -> str:
        """Return the row of the table."""
        rate = len(self.latencies_s) / self.seconds
        p50, p99 = (1000 * percentile(self.latencies_s, share) for share in (0.50, 0.99))
        failed = sum(count for status, count in self.statuses.items() if status != OK)
        counts = f"{self.clients:>7} {len(self.latencies_s):>9} {rate:>11.1f}"
        return f"{counts} {p50:>8.1f} {p99:>8.1f} {self.wrong:>6} {failed:>7}"


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that is not below ``share`` of all."""
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1]


@dataclass(frozen=True)
class Line:
    """One line: its encoded image, as text, and what is to be read in it."""

    image: bytes
    encoded: str
    text: str

    @property
    def body(self) -> bytes:
        """A request for it."""
        return json.dumps({"file": self.encoded}).encode()


def read_lines(folder: Path, labels: Path) -> list[Line]:
    """Return all lines that have a label."""
    lines = []
    for name, label in read_label_file(labels).items():
        image = (folder / name).read_bytes()
        lines.append(Line(image, base64.b64encode(image).decode(), label.text))
    return lines


@contextmanager
def serving(model: str, options: tuple[str, ...]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run ``ocrhpi serve``; yield its process and its URL."""
    limits = ("--port", "0", "--max_queued_lines", str(QUEUED_LINES))
    command = [sys.executable, "-c", "from ocrhpi.cli import main; main()", "serve", model, *limits, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own command
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            said = process.stdout.readline()
            found = re.match(r"(http://\S+) reads with (.*)", said)
            if found is None:
                raise click.ClickException(f"the server did not start: {said!r}")
            click.echo(f"server: {found[2]}")
            yield process, found[1]
        finally:
            process.kill()


async def ask(session: aiohttp.ClientSession, body: bytes) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Send one request; return status, answer and headers."""
    async with session.post(ROUTE, data=body, headers=HEADERS) as response:
        return response.status, json.loads(await response.read()), dict(response.headers)


def texts_of(answer: dict[str, Any]) -> list[str]:
    """Return the texts of an answer."""
    return [line["prunedResult"]["rec_text"] for line in answer["result"]["textRecResults"]]


async def load(session: aiohttp.ClientSession, lines: list[Line], clients: int, seconds: float) -> Run:
    """Let so many clients send lines for so long; what ends in the warm-up does not count."""
    run = Run(clients)
    work = itertools.cycle([(line.body, [line.text]) for line in lines])
    start = time.perf_counter() + WARM_UP_S
    end = start + seconds

    async def client() -> None:
        while (sent := time.perf_counter()) < end:
            body, wanted = next(work)
            status, answer, _ = await ask(session, body)
            now = time.perf_counter()
            run.statuses[status] += 1
            run.wrong += status == OK and texts_of(answer) != wanted
            if start <= sent:
                run.latencies_s.append(now - sent)
                run.seconds = now - start

    await asyncio.gather(*(client() for _ in range(clients)))
    return run


async def overload(session: aiohttp.ClientSession, lines: list[Line]) -> tuple[int, int, float]:
    """Send far more at once than the queue holds, and what is refused again when the server says so.

    Returns:
        How often it refused, how many texts were wrong in the end, and the seconds that it took.
    """
    body = json.dumps({"files": [line.encoded for line in lines]}).encode()
    wanted = [line.text for line in lines]
    refused = wrong = 0
    began = time.perf_counter()

    async def client() -> None:
        nonlocal refused, wrong
        while True:
            status, answer, headers = await ask(session, body)
            if status != FULL:
                wrong += (
                    sum(a != b for a, b in zip(texts_of(answer), wanted, strict=True)) if status == OK else len(wanted)
                )
                return
            refused += 1
            await asyncio.sleep(int(headers["Retry-After"]))

    await asyncio.gather(*(client() for _ in range(OVERLOAD)))
    return refused, wrong, time.perf_counter() - began


async def malformed(session: aiohttp.ClientSession, image: bytes) -> Counter[int]:
    """Send malformed requests, some of them at once; return how many got which status."""
    statuses: Counter[int] = Counter()
    work = malformed_requests(MALFORMED, image)

    async def client() -> None:
        for _, body in work:
            status, answer, _ = await ask(session, body)
            assert answer["errorCode"] == status, answer  # noqa: S101 - a benchmark that also checks
            statuses[status] += 1

    await asyncio.gather(*(client() for _ in range(MALFORMED_CLIENTS)))
    return statuses


async def resident_mib(session: aiohttp.ClientSession) -> float:
    """Return the resident set of the server."""
    async with session.get("/metrics") as response:
        found = re.search(r"^process_resident_memory_bytes (\S+)$", await response.text(), re.MULTILINE)
    return float(found[1]) / 2**20 if found else float("nan")


async def measure(url: str, lines: list[Line], seconds: float) -> list[str]:
    """Do everything, print it, and return what went wrong."""
    import aiohttp  # noqa: PLC0415 - only this benchmark needs it

    faults = []
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        click.echo("clients  requests  requests/s   p50 ms   p99 ms  wrong  failed")
        for clients in CLIENTS:
            run = await load(session, lines, clients, seconds)
            click.echo(run.row())
            if run.wrong or set(run.statuses) != {OK}:
                faults.append(f"{clients} clients: {run.wrong} wrong texts, statuses {dict(run.statuses)}")
        refused, wrong, took = await overload(session, lines)
        click.echo(f"overload: {OVERLOAD} x {len(lines)} lines at once: {refused} times 429, all read in {took:.1f} s")
        if wrong or not refused:
            faults.append(f"overload: {wrong} wrong texts, {refused} refusals")
        before = await resident_mib(session)
        statuses = await malformed(session, next(line.image for line in lines if line.image.startswith(b"\x89PNG")))
        after = await resident_mib(session)
        counts = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
        click.echo(f"malformed: {counts}; resident set {before:.0f} -> {after:.0f} MiB")
        if any(not 400 <= status < 500 or status == FULL for status in statuses):  # noqa: PLR2004 - errors of clients
            faults.append(f"malformed requests were answered {counts}")
        run = await load(session, lines, 1, 3.0)
        click.echo(f"afterwards, 1 client: p50 {1000 * percentile(run.latencies_s, 0.5):.1f} ms, {run.wrong} wrong")
        if run.wrong or set(run.statuses) != {OK}:
            faults.append(f"afterwards: {run.wrong} wrong texts, statuses {dict(run.statuses)}")
    return faults


@click.command(context_settings={"ignore_unknown_options": True}, help=__doc__)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("labels", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.option("--model", default="PP-OCRv4_mobile_rec", show_default=True)
@click.option("--seconds", default=20.0, show_default=True, help="For each number of clients.")
def main(folder: Path, labels: Path, options: tuple[str, ...], model: str, seconds: float) -> None:
    """Run everything."""
    lines = read_lines(folder, labels)
    with serving(model, options) as (process, url):
        faults = asyncio.run(measure(url, lines, seconds))
        process.send_signal(signal.SIGTERM)
        status = process.wait(STOP_S)
        click.echo(f"stopped by SIGTERM, exit status {status}")
        if status:
            faults.append(f"exit status {status}")
    for fault in faults:
        click.echo(f"FAULT: {fault}", err=True)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
