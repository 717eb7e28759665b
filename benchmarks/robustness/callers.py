"""One predictor, called in all the ways that hosts have."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from benchmarks.robustness.rows import LONG_S, MODEL, row
from ocrhpi import load_predictor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.robustness.rows import Row
    from ocrhpi.predictor import Predictor

ENGINES = ("paddle", "onnxruntime", "openvino")
_CALLS = 8
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
                yield row("callers", f"{engine}, {way}", _CALLS, outcome, time.monotonic() - start)


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
        return pool.map_async(_texts, [8] * _CALLS).get(LONG_S)


def _spawn(engine: str) -> list[list[str]]:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return pool.starmap_async(_open_and_read, [(engine, _files)] * _CALLS, chunksize=4).get(LONG_S)
