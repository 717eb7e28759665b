"""Engines leave the process of their host as it was: signals, logs, warnings, environment, and what else is global."""

from __future__ import annotations

import importlib.util
import json
import locale
import logging
import os
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from ocrhpi.backends.device import TF32_VARIABLE, forbid_tf32
from ocrhpi.backends.guest import as_it_was
from tests.processes.manners import EXIT_STATUS, state
from tests.serving.fakes import write_tiny_onnx_model

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")

ROOT = Path(__file__).parents[2]
LIMIT_S = 60.0

Host = "Callable[[str, str], subprocess.CompletedProcess[str]]"


@pytest.mark.parametrize(
    ("engine", "where"),
    [("paddle", "main"), ("paddle", "thread"), ("onnxruntime", "main"), ("openvino", "main")],
)
def test_the_host_is_as_it_was(engine: str, where: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if importlib.util.find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed")
    model = request.getfixturevalue("tiny_dir") if engine == "paddle" else write_tiny_onnx_model(tmp_path / "model")
    run = subprocess.run(
        [sys.executable, "-m", "tests.processes.manners", engine, str(model), where],
        cwd=ROOT,
        env={**os.environ, "OCRHPI_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert run.stdout, run.stderr[-3000:]
    assert json.loads(run.stdout) == {}
    assert "host: loaded" in run.stderr  # `logging.basicConfig` found no handlers
    assert run.returncode == EXIT_STATUS, run.stderr[-3000:]  # its own handler of SIGTERM ran
    assert "C++ Traceback" not in run.stderr


def rude() -> None:
    """Change everything."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    logging.basicConfig(level=logging.DEBUG, force=True)
    logging.getLogger("ocrhpi").setLevel(logging.CRITICAL)
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    os.environ["OF_THE_GUEST"] = os.environ["PATH"] = "changed"
    os.environ.pop("HOME", None)
    locale.setlocale(locale.LC_ALL, "C")
    np.set_printoptions(precision=1)
    np.seterr(all="raise")
    cv2.setNumThreads(7)


@pytest.fixture
def unchanged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """See that all is in the end as it was at the beginning."""
    monkeypatch.setenv("HOME", "home")
    before = state()
    yield
    after = state()
    assert {name: (before[name], after[name]) for name in before if before[name] != after[name]} == {}


@pytest.mark.usefixtures("unchanged")
def test_all_is_put_back_also_after_an_error_and_where_guests_meet() -> None:
    with pytest.raises(RuntimeError):
        fail_as_a_guest_of_a_guest()
    with ThreadPoolExecutor(1) as other, as_it_was():
        other.submit(guest_in_a_thread).result()
        rude()


def fail_as_a_guest_of_a_guest() -> None:
    with as_it_was():
        rude()
        with as_it_was():
            rude()
        raise RuntimeError


def guest_in_a_thread() -> None:
    with as_it_was():
        os.environ["OF_THE_GUEST"] = "changed"
        warnings.simplefilter("ignore")


def test_what_engines_read_later_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TF32_VARIABLE, raising=False)
    with as_it_was():
        forbid_tf32("paddle")
    assert os.environ.pop(TF32_VARIABLE) == "0"


def test_a_choice_of_the_host_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    with as_it_was():
        assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    with as_it_was():
        assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    assert "ORT_DISABLE_TELEMETRY" not in os.environ
