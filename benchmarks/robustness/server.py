"""``ocrhpi serve`` under load, ended in the middle of it, and asked by those who mean no good."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.robustness.rows import LONG_S, MODEL, row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import aiohttp

    from benchmarks.robustness.rows import Row

_ROUTE = "/text-recognition"
_CLIENTS = 64
_MAX_ENDS = 10  # ends of a server under load, each with its start
_IDLERS, _IDLE_S = 64, 20.0
_OK = 200
_FORBIDDEN = (
    "file:///etc/passwd",
    "/etc/passwd",
    "../../etc/passwd",
    "http://127.0.0.1:{port}/health",
    "http://localhost:{port}/health",
    "http://0.0.0.0:{port}/health",
    "http://[::1]:{port}/health",
    "http://[::ffff:127.0.0.1]:{port}/health",
    "http://2130706433:{port}/health",
    "http://0x7f000001:{port}/health",
    "http://127.1:{port}/health",
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1/line.png",
    "http://192.168.0.1/line.png",
    "http://172.16.0.1/line.png",
    "http://[fd00::1]/line.png",
    "http://[fe80::1]/line.png",
    "ftp://127.0.0.1/line.png",
    "gopher://127.0.0.1:{port}/_GET",
)


class _Server:
    """A server process.

    Args:
        options: Of ``ocrhpi serve``.
    """

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "ocrhpi", "serve", MODEL, *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own command
        assert self.process.stdout is not None  # noqa: S101 - it is a pipe
        told = self.process.stdout.readline()
        found = re.match(r"(http://[^:]+:(\d+)) reads with", told)
        if found is None:
            raise RuntimeError(f"the server did not start: {told!r}")
        self.url, self.port = found[1], int(found[2])


@contextmanager
def _serving(*options: str) -> Iterator[_Server]:
    server = _Server(*options)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def server(files: Sequence[str], times: int) -> Iterator[Row]:
    """End a server under load, and be slow, silent and curious."""
    bodies = [json.dumps({"file": base64.b64encode(Path(file).read_bytes()).decode()}).encode() for file in files]
    with _serving("--port", "0") as one:
        expected = asyncio.run(_texts(one.url, bodies))
    lines = list(zip(bodies, expected, strict=True))
    ends = min(times, _MAX_ENDS)
    for number in (signal.SIGTERM, signal.SIGKILL):
        yield _ends(lines, number, ends)
    yield _idlers(lines)
    for policy in ("off", "public"):
        yield _curious(lines, policy)


def _ends(lines: Sequence[tuple[bytes, str]], number: signal.Signals, times: int) -> Row:
    """End it under load; it must answer what it has accepted, if it can, and read again when it is started again."""
    outcome: Counter[str] = Counter()
    begin = time.monotonic()
    rng = random.Random(number)  # noqa: S311 - not for secrets
    for _ in range(times):
        with _serving("--port", "0") as one:
            counts = asyncio.run(_load(one, lines, number, rng.uniform(1.0, 4.0)))
            status = one.process.wait(LONG_S)
        outcome.update({f"answered, {name}": count for name, count in counts.items()})
        outcome[f"exit status {status}"] += 1
        with _serving("--port", str(one.port)) as again:
            texts = asyncio.run(_texts(again.url, [body for body, _ in lines]))
        outcome["started again: same texts" if texts == [text for _, text in lines] else "started again: others"] += 1
    what = f"{_CLIENTS} clients, {number.name} in the middle, and again"
    return row("server", what, times, outcome, time.monotonic() - begin)


async def _load(
    one: _Server, lines: Sequence[tuple[bytes, str]], number: signal.Signals, after_s: float
) -> Counter[str]:
    counts: Counter[str] = Counter()
    ended = asyncio.Event()

    async def client(session: aiohttp.ClientSession, first: int) -> None:
        place = first
        while True:
            place += 1
            body, text = lines[place % len(lines)]
            before = not ended.is_set()
            try:
                answer = await _ask(session, body)
            except OSError:
                counts["nothing: the connection was cut" if before else "nothing: no connection after the end"] += 1
                return
            counts["right" if answer == text else f"{answer[:60]}"] += 1

    async with _session(one.url) as session:
        clients = [asyncio.create_task(client(session, place)) for place in range(_CLIENTS)]
        await asyncio.sleep(after_s)
        ended.set()
        one.process.send_signal(number)
        await asyncio.wait_for(asyncio.gather(*clients), LONG_S)
    return counts


def _idlers(lines: Sequence[tuple[bytes, str]]) -> Row:
    """Open connections that send a byte a second, or nothing; others must be answered meanwhile."""
    begin = time.monotonic()
    outcome: Counter[str] = Counter()
    with _serving("--port", "0") as one:
        outcome.update(asyncio.run(_beside_idlers(one, lines)))
        outcome["alive afterwards"] = int(one.process.poll() is None)
    what = f"{_IDLERS} connections that send a byte a second and {_IDLERS} that send nothing, {_IDLE_S:g} s"
    return row("server", what, 2 * _IDLERS, outcome, time.monotonic() - begin)


async def _beside_idlers(one: _Server, lines: Sequence[tuple[bytes, str]]) -> Counter[str]:
    counts: Counter[str] = Counter()
    end = time.monotonic() + _IDLE_S
    request = f"POST {_ROUTE} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n".encode() + b"x" * 100

    async def idle(pieces: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        for place in range(int(_IDLE_S)):
            if pieces:
                writer.write(pieces[place : place + 1])
            await asyncio.sleep(1.0)
        counts["idle connections that the server closed"] += int(reader.at_eof())
        writer.close()

    async def client(session: aiohttp.ClientSession, place: int) -> None:
        while time.monotonic() < end:
            body, text = lines[place % len(lines)]
            counts["answered, right" if await _ask(session, body) == text else "answered, wrong"] += 1
            place += 1

    async with _session(one.url) as session:
        idlers = [asyncio.create_task(idle(request if place % 2 else b"")) for place in range(2 * _IDLERS)]
        await asyncio.gather(*(client(session, place) for place in range(8)))
        await asyncio.gather(*idlers, return_exceptions=True)
    return counts


def _curious(lines: Sequence[tuple[bytes, str]], policy: str) -> Row:
    """Ask it to fetch files and addresses of its own network; it must refuse each, and go on reading."""
    begin = time.monotonic()
    with _serving("--port", "0", "--urls", policy) as one:
        targets = [target.format(port=one.port) for target in _FORBIDDEN]
        bodies = [json.dumps({"file": target}).encode() for target in targets]
        answers = asyncio.run(_texts(one.url, bodies))
        outcome = Counter(answer if answer.startswith("status 4") else f"{answer[:60]!r}" for answer in answers)
        outcome["afterwards, right"] = sum(
            text == own for text, (_, own) in zip(asyncio.run(_texts(one.url, [lines[0][0]])), lines, strict=False)
        )
    what = f"requests for files and addresses inside the network, --urls {policy}"
    return row("server", what, len(_FORBIDDEN), outcome, time.monotonic() - begin)


def _session(url: str) -> aiohttp.ClientSession:
    import aiohttp  # noqa: PLC0415 - only this scenario needs it

    timeout = aiohttp.ClientTimeout(total=LONG_S)
    return aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0), timeout=timeout)


async def _ask(session: aiohttp.ClientSession, body: bytes) -> str:
    """Return the text that is read, or the status of the answer.

    Raises:
        OSError: There is no connection, or it was cut.
    """
    import aiohttp  # noqa: PLC0415

    try:
        async with session.post(_ROUTE, data=body, headers={"Content-Type": "application/json"}) as response:
            answer: dict[str, Any] = json.loads(await response.read())
    except aiohttp.ClientConnectionError as error:
        raise ConnectionError(str(error)) from error
    if response.status != _OK:
        return f"status {response.status}"
    return "".join(line["prunedResult"]["rec_text"] for line in answer["result"]["textRecResults"])


async def _texts(url: str, bodies: Sequence[bytes]) -> list[str]:
    async with _session(url) as session:
        return [await _ask(session, body) for body in bodies]
