from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocrhpi.catalog import fetch, verify
from tests.catalog.conftest import FAST, FILES, MODEL

if TYPE_CHECKING:
    from ocrhpi.catalog.sources import FileHost
    from tests.catalog.server import FileServer

ROOT = Path(__file__).parents[2]
CHILD = """
import sys
from ocrhpi.catalog import fetch
from ocrhpi.catalog.sources import FileHost
print("ready", flush=True)
sys.stdin.readline()
fetch(sys.argv[1], sources=[FileHost("hub", sys.argv[2], "/{model}/{file}")], cache_dir=sys.argv[3])
"""


@pytest.fixture
def slow_hub(server: FileServer, hub: FileHost) -> FileHost:
    """A hub slow enough for the second caller to come while the first is still at it."""
    server.routes[f"/{MODEL}/inference.json"].pause_s = 0.02
    return hub


def test_threads_fetch_once(server: FileServer, slow_hub: FileHost, tmp_path: Path) -> None:
    def work(_: int) -> Path:
        return fetch(MODEL, sources=[slow_hub], cache_dir=tmp_path, quiet=True, limits=FAST)

    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(work, range(4)))
    assert len(paths) == 1
    assert len(server.requests) == len(FILES)
    verify(MODEL, cache_dir=tmp_path)


def test_processes_fetch_once(server: FileServer, slow_hub: FileHost, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHILD, MODEL, slow_hub.endpoint, str(tmp_path)]
    children = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.communicate("go\n", timeout=120)
    assert [child.returncode for child in children] == [0, 0]
    assert len(server.requests) == len(FILES)
    verify(MODEL, cache_dir=tmp_path)
