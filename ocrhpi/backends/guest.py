"""Engines are guests in the process of the host: what they change of it when they load is put back."""

from __future__ import annotations

import ctypes
import locale
import logging
import os
import signal
import sys
import threading
import warnings
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from ocrhpi.backends.device import TF32_VARIABLE
from ocrhpi.forks import RenewedLock, in_children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_KEPT_VARIABLES = {TF32_VARIABLE}
"""Variables that stay: NVIDIA's libraries read them long after they were loaded."""

_REPORTERS = {"openvino": "openvino_telemetry"}
"""Module -> the one by which it reports its use, in a process that it forks off the host's; it does without."""

_SIGACTION_BYTES = 512  # more than a `struct sigaction` has anywhere

_lock = RenewedLock()
_guests = 0
_before: Sequence[Callable[[], None]] = ()


@contextmanager
def as_it_was() -> Iterator[None]:
    """Put back what is changed inside of the process's signal handlers, loggers, warning filters, and so on.

    Put around the import of an engine and around opening it. Guests in several threads share one memory of how it was:
    the first one takes it, and each puts back all of it when it goes. Off the main thread signal handlers are put back
    as far as the operating system is concerned, which is all that an engine can have changed there.
    """
    global _guests, _before  # noqa: PLW0603 - they are the process's
    of_this_thread = _arrays()
    with _lock:
        if not _guests:
            _before = [remember() for remember in _REMEMBERED]
        _guests += 1
        before = _before
        _hush()
    try:
        yield
    finally:
        with _lock, ExitStack() as stack:  # which calls each, whatever the others raise
            _guests = max(0, _guests - 1)
            for put_back in reversed((*before, of_this_thread)):
                stack.callback(put_back)


@in_children
def _forget() -> None:
    """In a forked child no other thread is a guest."""
    global _guests  # noqa: PLW0603 - as above
    _guests = 0


def _hush() -> None:
    """Keep engines from reporting their use: they fork the host, or start threads that outlive it in children."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when ONNX Runtime is imported, from 1.32 on
    modules: dict[str, Any] = sys.modules
    for engine, reporter in _REPORTERS.items():
        if engine not in modules:
            modules.setdefault(reporter, None)  # as if it were not installed


def _modules() -> Callable[[], None]:
    def put_back() -> None:
        for reporter in _REPORTERS.values():
            if sys.modules.get(reporter, reporter) is None:
                del sys.modules[reporter]

    return put_back


def _environment() -> Callable[[], None]:
    before = {name: os.environ.get(name) for name in list(os.environ)}

    def put_back() -> None:
        for name in set(os.environ) - before.keys() - _KEPT_VARIABLES:
            os.environ.pop(name, None)
        for name, value in before.items():
            if value is not None and os.environ.get(name) != value:
                os.environ[name] = value

    return put_back


def _signal_handlers() -> Callable[[], None]:
    """Those that Python knows. Engines set theirs behind its back, see `_dispositions`."""
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}

    def put_back() -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) != handler:
                signal.signal(number, handler)

    return put_back


def _dispositions() -> Callable[[], None]:
    """What the operating system does at each signal, `faulthandler`'s handlers included; in any thread."""
    if sys.platform == "win32":
        return lambda: None
    sigaction = ctypes.CDLL(None).sigaction

    def now(number: int) -> Any:  # noqa: ANN401 - a buffer
        buffer = ctypes.create_string_buffer(_SIGACTION_BYTES)
        return buffer if sigaction(number, None, buffer) == 0 else None

    before = {number: now(number) for number in signal.valid_signals()}

    def put_back() -> None:
        size = ctypes.sizeof(ctypes.c_void_p)  # the handler comes first in the structure
        for number, was in before.items():
            is_now = now(number)
            if was is not None and is_now is not None and is_now.raw[:size] != was.raw[:size]:
                sigaction(number, was, None)

    return put_back


def _loggers() -> Callable[[], None]:
    root = logging.getLogger()
    handlers, filters, threshold = list(root.handlers), list(root.filters), root.manager.disable
    known = [root, *(one for one in list(root.manager.loggerDict.values()) if isinstance(one, logging.Logger))]
    states = [(one, one.level, one.disabled, one.propagate) for one in known]

    def put_back() -> None:
        root.handlers[:], root.filters[:] = handlers, filters
        for logger, level, disabled, propagate in states:
            logger.disabled, logger.propagate = disabled, propagate
            if logger.level != level:
                logger.setLevel(level)
        if root.manager.disable != threshold:
            logging.disable(threshold)

    return put_back


def _warning_filters() -> Callable[[], None]:
    before, show, form = list(warnings.filters), warnings.showwarning, warnings.formatwarning

    def put_back() -> None:
        warnings.showwarning, warnings.formatwarning = show, form
        if warnings.filters != before:
            warnings.resetwarnings()  # also tells Python that what it remembers of each warning is out of date
            warnings.filters[:] = before  # type: ignore[index] # a list, whatever its stub says

    return put_back


def _locale() -> Callable[[], None]:
    before = locale.setlocale(locale.LC_ALL)

    def put_back() -> None:
        if locale.setlocale(locale.LC_ALL) != before:
            with suppress(locale.Error):
                locale.setlocale(locale.LC_ALL, before)

    return put_back


def _arrays() -> Callable[[], None]:
    """What NumPy keeps for each thread."""
    printing, errors = np.get_printoptions(), np.geterr()

    def put_back() -> None:
        if np.get_printoptions() != printing:
            np.set_printoptions(**printing)
        np.seterr(**errors)

    return put_back


def _thread_counts() -> Callable[[], None]:
    """Of the libraries that the host has loaded; engines share their thread pools."""
    cv2: Any = sys.modules.get("cv2")
    torch: Any = sys.modules.get("torch")
    functions = [(cv2.getNumThreads, cv2.setNumThreads)] if hasattr(cv2, "setNumThreads") else []
    if hasattr(torch, "set_num_threads"):  # else it is still being imported
        functions.append((torch.get_num_threads, torch.set_num_threads))
    before = [(count, change, count()) for count, change in functions]

    def put_back() -> None:
        for count, change, number in before:
            if count() != number:
                change(number)

    return put_back


# Python's own handlers before the operating system's, which has the last word.
_REMEMBERED = (
    _environment,
    _modules,
    _signal_handlers,
    _dispositions,
    _loggers,
    _warning_filters,
    _locale,
    _thread_counts,
)
