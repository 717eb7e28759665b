"""A host with settings of its own that loads an engine, says what that changed, and ends on SIGTERM."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import locale
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import warnings
from typing import Any

import cv2
import numpy as np

from ocrhpi.text_recognition import TextRecognition

EXIT_STATUS = 42
PASSING = ("PYTEST_CURRENT_TEST",)
"""Variables that pytest itself changes."""
LINES = [np.random.default_rng(width).integers(0, 256, (48, width, 3), np.uint8) for width in range(60, 460, 100)]


def settle_in() -> None:
    """Set everything to something that no engine would set."""
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR2)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_STATUS))
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    logging.getLogger("host").setLevel(logging.DEBUG)
    logging.getLogger("paddle").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", "of the host")
    os.environ["CUSTOM_DEVICE_ROOT"] = "of the host"
    np.set_printoptions(precision=3)
    np.seterr(under="warn")
    cv2.setNumThreads(2)


def disposition(number: int) -> str:
    """What the operating system does at a signal; Python does not know what was set behind its back."""
    action = ctypes.create_string_buffer(512)
    assert ctypes.CDLL(None).sigaction(number, None, action) == 0 or number in {32, 33}  # the C library's own
    return action.raw[: ctypes.sizeof(ctypes.c_void_p)].hex()


def state() -> dict[str, Any]:
    known = [one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    exported = subprocess.run(["/usr/bin/env", "-0"], capture_output=True, text=True, check=True).stdout.split("\0")
    return {
        **{f"signal {number}": disposition(number) for number in signal.valid_signals()},
        **{f"handler {number}": signal.getsignal(number) for number in signal.valid_signals()},
        **{f"level of {one.name}": one.level for one in known if one.name in {"host", "paddle"}},
        "root": (logging.root.level, list(logging.root.handlers), logging.root.filters, logging.root.manager.disable),
        "warnings": (list(warnings.filters), warnings.showwarning, warnings.formatwarning),
        "environment": {name: value for name, value in os.environ.items() if name not in PASSING},
        # And one of Intel's OpenMP to itself, under the number of the process.
        "of children": sorted(one for one in exported if not one.startswith((*PASSING, "__KMP_REGISTERED_LIB"))),
        "locale": locale.setlocale(locale.LC_ALL),
        "arrays": (np.get_printoptions(), np.geterr()),
        "cv2": cv2.getNumThreads(),
        "start method": multiprocessing.get_start_method(allow_none=True),
        "processes": multiprocessing.active_children(),
    }


def load_and_read(engine: str, model: str) -> None:
    with TextRecognition(model_dir=model, engine=engine, device="cpu", cpu_threads=2) as recognition:
        assert any(result["rec_text"] for result in recognition.predict(LINES, batch_size=4))


def main() -> None:
    engine, model, where = sys.argv[1:]
    settle_in()
    before = state()
    if where == "thread":
        thread = threading.Thread(target=load_and_read, args=(engine, model))
        thread.start()
        thread.join()
    else:
        load_and_read(engine, model)
    after = state()
    print(json.dumps({name: (str(before[name]), str(after[name])) for name in before if before[name] != after[name]}))  # noqa: T201
    logging.basicConfig(format="host: %(message)s", level=logging.INFO)
    logging.getLogger("host").info("loaded")
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()


if __name__ == "__main__":
    main()
