"""A host that reads, forks in every way there is, and says what its children read; run as a module."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import multiprocessing
import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ocrhpi.assembly import open_reader
from ocrhpi.batch.tunings import shared_predictor
from ocrhpi.config.candidate import Candidate
from ocrhpi.config.reading_options import reading_options
from ocrhpi.loader import find_model
from ocrhpi.predictor import Predictor
from ocrhpi.text_recognition import TextRecognition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT_S = 10
LINES = [np.random.default_rng(width).integers(0, 256, (48, width, 3), np.uint8) for width in range(60, 460, 50)]

hosts: dict[str, Any] = {}


def open_host(door: str, model: str, engine: str, cache: str) -> Any:
    if door == "engine":
        return TextRecognition(model_dir=model, engine=engine, device="cpu", cpu_threads=2)
    if door == "forced":
        config = {"auto_config": False, "backend": engine, "cpu_threads": 2, "cache_dir": cache}
        return TextRecognition(model_dir=model, device="cpu", use_hpip=True, hpi_config=config)
    if door == "split":
        candidate = Candidate(backend=engine, device="cpu", batching="split", batch_size=4)
        return Predictor(open_reader(find_model(model), candidate, cache_dir=cache))
    assert door == "shared"
    return shared_predictor(reading_options(model_dir=model, use_hpip=False, engine=engine, device="cpu", threads=2))


def texts(_: object = None) -> dict[str, list[str]]:
    return {door: [result["rec_text"] for result in host.predict(LINES, batch_size=4)] for door, host in hosts.items()}


def forked(
    work: Callable[[], object], end: Callable[[int], object] = os._exit, fork: Callable[[], int] = os.fork
) -> int:
    """Run in a forked child; return its exit status, 0 if the work returns something true."""
    child = fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    signal.alarm(LIMIT_S)
    status = 3
    try:
        status = 0 if work() else 4
    finally:
        end(status)
    raise AssertionError


@contextmanager
def reading_beside() -> Iterator[None]:
    """Read in two other threads."""
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            texts()

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def closed() -> bool:
    for host in hosts.values():
        host.close()
    return True


def main() -> None:
    asked = json.loads(sys.argv[1])
    # Not its timer, which waits in a forked child for a thread of the parent.
    faulthandler.register(signal.SIGALRM, chain=True)
    signal.alarm(2 * LIMIT_S)
    for door in asked["doors"]:
        hosts[door] = open_host(door, asked["model"], asked["engine"], asked["cache"])
    expected = texts()
    # Some engines keep the threads of what was closed, and would take them up in a child.
    with open_host("engine", asked["model"], asked["engine"], asked["cache"]) as other:
        other.predict(LINES)

    def same() -> bool:
        return texts() == expected

    found: dict[str, object] = {"distinct": len(set(map(tuple, expected.values()))), "texts": expected}
    found["forked"] = forked(same, sys.exit)
    found["ends without reading"] = forked(lambda: True, sys.exit)
    found["grandchild"] = forked(lambda: same() and forked(same) == 0 and closed(), sys.exit)
    found["closes at once"] = forked(closed, sys.exit)
    found["forked by C"] = forked(same, fork=ctypes.PyDLL(None).fork)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found["pool"] = [read == expected for read in pool.map(texts, range(2), chunksize=1)]
    with reading_beside():
        found["beside"] = [forked(same) for _ in range(2)]
    found["parent"] = same()
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
