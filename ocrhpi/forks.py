"""What a forked process inherits and may not use (threads, locks, engines), and the one place that puts it right.

`os.fork` copies the memory and, of all threads, only the one that calls it. So in the child no thread pool works, a
lock that another thread held stays locked, and the threads of an engine are gone: using it, or only freeing it, hangs
or kills the process. Whatever is affected is watched here and renewed in every child, before anything else runs there;
and a fork waits until no engine is in the midst of its work, since no engine says what it locks there. See
docs/decisions/0025-a-guest-in-the-host-process.md.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import weakref
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from types import TracebackType

_LONGEST_S = 10.0
"""A fork waits for engines no longer than this: rather the small risk of a lock that is held than a host that waits."""

ValueT = TypeVar("ValueT")
Action: TypeAlias = "Callable[[], None]"


class Renewable(Protocol):
    """What has to be put right in a forked child."""

    def renew_after_fork(self) -> None:
        """Put it right: quickly, without a lock, and without touching what belongs to the parent."""


class _Gate:
    """Counts the threads that are in an engine; a fork closes it and waits until they are out."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # re-entrant: a signal handler may fork at any point
        self._inside: dict[int, int] = {}  # thread -> how often it is in
        self._forks = 0

    def enter(self) -> None:
        thread = threading.get_ident()
        with self._changed:
            if thread not in self._inside:
                self._changed.wait_for(lambda: not self._forks, _LONGEST_S)
            self._inside[thread] = self._inside.get(thread, 0) + 1

    def leave(self) -> None:
        thread = threading.get_ident()
        with self._changed:
            left = self._inside.pop(thread, 1) - 1  # in a child forked in here it is a new gate
            if left:
                self._inside[thread] = left
            elif self._forks:
                self._changed.notify_all()

    def close(self) -> None:
        thread = threading.get_ident()
        with self._changed:
            self._forks += 1
            self._changed.wait_for(lambda: not self._inside.keys() - {thread}, _LONGEST_S)

    def open(self) -> None:
        with self._changed:
            self._forks -= 1
            self._changed.notify_all()


_gate = _Gate()
_watched: weakref.WeakSet[Renewable] = weakref.WeakSet()
_preparations: list[Action] = []
_actions: list[Action] = []
_process = os.getpid()
_engines = False  # whether one was ever opened, here or in the process that this one was forked from


@contextmanager
def without_forks() -> Iterator[None]:
    """Hold forks by other threads off, while this one is in foreign code that has locks of its own."""
    notice_fork()
    _gate.enter()
    try:
        yield
    finally:
        _gate.leave()


def renew_in_children(thing: Renewable) -> None:
    """Renew ``thing`` in every forked child, for as long as it lives."""
    _watched.add(thing)


def before_forks(action: Action) -> Action:
    """Call ``action`` before every fork, in the process that forks, when no engine is in its work; a decorator."""
    _preparations.append(action)
    return action


def in_children(action: Action) -> Action:
    """Call ``action`` in every forked child, for what belongs to a module; a decorator."""
    _actions.append(action)
    return action


def never_free(thing: object) -> None:
    """Never free ``thing``, not even at the end of the process: it is the parent's, and has threads there."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def end_without_destructors() -> None:
    """Let forked children end without the destructors of libraries: those of engines wait for threads of the parent.

    All that Python does at the end is done: ``atexit``, flushing files, closing what is open.
    """
    global _engines  # noqa: PLW0603 - it is the process's
    _engines = True


class RenewedLock:
    """A lock that is free in a forked child, whoever held it.

    Args:
        make: What makes it, such as `threading.RLock`.
        holds_forks: Whether it guards foreign code, in which a fork should not come, see `without_forks`.
    """

    def __init__(self, make: Callable[[], Any] = threading.Lock, *, holds_forks: bool = False) -> None:
        self._make = make
        self._holds_forks = holds_forks
        self._lock = self._held = make()
        renew_in_children(self)

    def renew_after_fork(self) -> None:
        """Take a new one."""
        self._lock = self._make()

    def __enter__(self) -> None:
        notice_fork()
        lock = self._lock
        lock.acquire()
        self._held = lock  # to free this one, also in a child that is forked meanwhile
        if self._holds_forks:
            _gate.enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._holds_forks:
            _gate.leave()
        self._held.release()


class OncePerProcess(Generic[ValueT]):
    """A function without arguments whose value is made once in a process; a forked child makes its own.

    Args:
        make: Makes it.
    """

    def __init__(self, make: Callable[[], ValueT]) -> None:
        self._make = make
        self._made: list[ValueT] = []
        self._lock = threading.Lock()
        renew_in_children(self)

    @property
    def is_made(self) -> bool:
        """Whether there is a value."""
        return bool(self._made)

    def __call__(self) -> ValueT:
        """Return the value."""
        notice_fork()
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]

    def renew_after_fork(self) -> None:
        """Leave the parent's alone."""
        never_free(self._made)
        self._made = []
        self._lock = threading.Lock()


class RenewedThreads(Executor):
    """A thread pool that a forked child gets anew.

    Args:
        count: How many threads.
        name: How their names begin.
    """

    def __init__(self, count: int, name: str) -> None:
        self._make = partial(ThreadPoolExecutor, count, thread_name_prefix=name)
        self._pool = self._make()
        self._ended = False
        renew_in_children(self)

    def submit(self, function: Callable[..., ValueT], /, *args: Any, **options: Any) -> Future[ValueT]:  # noqa: ANN401
        """Run a function in one of the threads."""
        notice_fork()
        return self._pool.submit(function, *args, **options)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - Python's
        """End the threads once they have nothing to do."""
        self._ended = True
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def renew_after_fork(self) -> None:
        """Take new threads; what the parent has submitted is done there."""
        self._pool = self._make()
        if self._ended:
            self._pool.shutdown()


def _before_fork() -> None:
    _gate.close()
    _call_all(_preparations)


def _in_parent() -> None:
    _gate.open()


def notice_fork() -> None:
    """Notice a fork that Python was not told of, by a program in C around it; all that is made here does it itself."""
    if os.getpid() != _process:
        _in_child()


def _in_child() -> None:
    global _gate, _process
    _gate, _process = _Gate(), os.getpid()
    if _engines:
        _leave_destructors_out()
    _call_all([*_actions, *(thing.renew_after_fork for thing in list(_watched))])


def _call_all(actions: Iterable[Action]) -> None:
    with ExitStack() as stack:  # which calls each, whatever the others raise; Python reports that on stderr
        for action in actions:
            stack.callback(action)


def _leave_destructors_out() -> None:
    """Make ``exit`` end in ``_exit``, before it comes to what libraries have registered; needs the GNU C library."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "on_exit"):
        return
    # The last one comes first: buffered output is written, then the process ends with the status of ``exit``.
    libc.on_exit(ctypes.cast(libc["_exit"], ctypes.c_void_p), None)
    libc["__cxa_atexit"](ctypes.cast(libc.fflush, ctypes.c_void_p), None, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
