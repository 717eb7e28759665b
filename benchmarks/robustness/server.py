"""``ocrhpi serve`` under load, ended in the middle of it, and asked by those who mean no good."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import signal
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks.robustness.rows import LONG_S, MODEL, row
from benchmarks.serving_load import OK, ROUTE, ask, serving, texts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import aiohttp

    from benchmarks.robustness.rows import Row

_CLIENTS = 64
_MAX_ENDS = 10  # ends of a server under load, each with its start
_IDLERS, _IDLE_S = 64, 20.0
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


def server(files: Sequence[str], times: int) -> Iterator[Row]:
    """End a server under load, and be slow, silent and curious."""
    bodies = [json.dumps({"file": base64.b64encode(Path(file).read_bytes()).decode()}).encode() for file in files]
    with serving(MODEL, ()) as (_, url):
        expected = asyncio.run(_texts(url, bodies))
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
        with serving(MODEL, ()) as (process, url):
            end = partial(process.send_signal, number)
            counts = asyncio.run(_load(url, lines, end, rng.uniform(1.0, 4.0)))
            status = process.wait(LONG_S)
        outcome.update({f"answered, {name}": count for name, count in counts.items()})
        outcome[f"exit status {status}"] += 1
        with serving(MODEL, ("--port", str(urlsplit(url).port))) as (_, again):
            texts = asyncio.run(_texts(again, [body for body, _ in lines]))
        outcome["started again: same texts" if texts == [text for _, text in lines] else "started again: others"] += 1
    what = f"{_CLIENTS} clients, {number.name} in the middle, and again"
    return row("server", what, times, outcome, time.monotonic() - begin)


async def _load(
    url: str, lines: Sequence[tuple[bytes, str]], end: Callable[[], object], after_s: float
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
                answer = await _text(session, body)
            except OSError:
                counts["nothing: the connection was cut" if before else "nothing: no connection after the end"] += 1
                return
            counts["right" if answer == text else f"{answer[:60]}"] += 1

    async with _session(url) as session:
        clients = [asyncio.create_task(client(session, place)) for place in range(_CLIENTS)]
        await asyncio.sleep(after_s)
        ended.set()
        end()
        await asyncio.wait_for(asyncio.gather(*clients), LONG_S)
    return counts


def _idlers(lines: Sequence[tuple[bytes, str]]) -> Row:
    """Open connections that send a byte a second, or nothing; others must be answered meanwhile."""
    begin = time.monotonic()
    outcome: Counter[str] = Counter()
    with serving(MODEL, ()) as (process, url):
        outcome.update(asyncio.run(_beside_idlers(url, lines)))
        outcome["alive afterwards"] = int(process.poll() is None)
    what = f"{_IDLERS} connections that send a byte a second and {_IDLERS} that send nothing, {_IDLE_S:g} s"
    return row("server", what, 2 * _IDLERS, outcome, time.monotonic() - begin)


async def _beside_idlers(url: str, lines: Sequence[tuple[bytes, str]]) -> Counter[str]:
    counts: Counter[str] = Counter()
    end = time.monotonic() + _IDLE_S
    request = f"POST {ROUTE} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n".encode() + b"x" * 100

    async def idle(pieces: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        for place in range(int(_IDLE_S)):
            if pieces:
                writer.write(pieces[place : place + 1])
            await asyncio.sleep(1.0)
        counts["idle connections that the server closed"] += int(reader.at_eof())
        writer.close()

    async def client(session: aiohttp.ClientSession, place: int) -> None:
        while time.monotonic() < end:
            body, text = lines[place % len(lines)]
            counts["answered, right" if await _text(session, body) == text else "answered, wrong"] += 1
            place += 1

    async with _session(url) as session:
        idlers = [asyncio.create_task(idle(request if place % 2 else b"")) for place in range(2 * _IDLERS)]
        await asyncio.gather(*(client(session, place) for place in range(8)))
        await asyncio.gather(*idlers, return_exceptions=True)
    return counts


def _curious(lines: Sequence[tuple[bytes, str]], policy: str) -> Row:
    """Ask it to fetch files and addresses of its own network; it must refuse each, and go on reading."""
    begin = time.monotonic()
    with serving(MODEL, ("--urls", policy)) as (_, url):
        targets = [target.format(port=urlsplit(url).port) for target in _FORBIDDEN]
        bodies = [json.dumps({"file": target}).encode() for target in targets]
        answers = asyncio.run(_texts(url, bodies))
        outcome = Counter(answer if answer.startswith("status 4") else f"{answer[:60]!r}" for answer in answers)
        outcome["afterwards, right"] = sum(
            text == own for text, (_, own) in zip(asyncio.run(_texts(url, [lines[0][0]])), lines, strict=False)
        )
    what = f"requests for files and addresses inside the network, --urls {policy}"
    return row("server", what, len(_FORBIDDEN), outcome, time.monotonic() - begin)


def _session(url: str) -> aiohttp.ClientSession:
    import aiohttp  # noqa: PLC0415 - only this scenario needs it

    timeout = aiohttp.ClientTimeout(total=LONG_S)
    return aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0), timeout=timeout)


async def _text(session: aiohttp.ClientSession, body: bytes) -> str:
    """Return the text that is read, or the status of the answer.

    Raises:
        OSError: There is no connection, or it was cut.
    """
    import aiohttp  # noqa: PLC0415

    try:
        status, answer, _ = await ask(session, body)
    except aiohttp.ClientConnectionError as error:
        raise ConnectionError(str(error)) from error
    return "".join(texts_of(answer)) if status == OK else f"status {status}"


async def _texts(url: str, bodies: Sequence[bytes]) -> list[str]:
    async with _session(url) as session:
        return [await _text(session, body) for body in bodies]
