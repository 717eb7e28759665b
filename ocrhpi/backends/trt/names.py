"""Names for untyped modules and objects, what errors call the backend, and TensorRT's log with its last errors."""

from __future__ import annotations

import functools
import logging
from collections import deque
from typing import Any, Final, Protocol, TypeAlias

NAME: Final = "tensorrt"
INSTALL: Final = "pip install 'ocrhpi[tensorrt]'"

TensorRt: TypeAlias = Any
"""The module ``tensorrt``."""

CudaDriver: TypeAlias = Any
"""The module ``pycuda.driver``."""

CudaRuntime: TypeAlias = Any
"""The module ``cuda.bindings.runtime``."""

Network: TypeAlias = Any
"""``tensorrt.INetworkDefinition``."""

Builder: TypeAlias = Any
"""``tensorrt.Builder``."""

BuilderConfig: TypeAlias = Any
"""``tensorrt.IBuilderConfig``."""

Engine: TypeAlias = Any
"""``tensorrt.ICudaEngine``."""

Stream: TypeAlias = Any
"""``pycuda.driver.Stream``."""


def version_of(trt: TensorRt) -> tuple[int, int]:
    """Return the first two numbers of TensorRT's version, such as (10, 3)."""
    major, minor = str(trt.__version__).split(".")[:2]
    return int(major), int(minor)


_KEPT = 50  # errors
_TOLD = 5  # errors in the text of an exception
_log = logging.getLogger("ocrhpi.tensorrt")


class TrtLog(Protocol):
    """A ``tensorrt.ILogger`` that remembers errors."""

    def mark(self) -> int:
        """Return the present place in the log."""

    def errors_since(self, mark: int) -> str:
        """Return the last errors that came after ``mark``, as one line; empty if there were none."""


@functools.cache
def shared_log(trt: TensorRt) -> TrtLog:
    """Return the one logger of this process: TensorRT goes on using the first that it was given."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._errors: deque[tuple[int, str]] = deque(maxlen=_KEPT)
            self._count = 0

        def log(self, severity: object, msg: str) -> None:
            # TensorRT calls this from threads of its own. What matters becomes an exception, so nothing is louder
            # than DEBUG.
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self._count += 1
                self._errors.append((self._count, " ".join(msg.split())))
            if severity != trt.ILogger.VERBOSE:
                _log.debug("TensorRT: %s", msg)

        def mark(self) -> int:
            return self._count

        def errors_since(self, mark: int) -> str:
            lines = dict.fromkeys(line for number, line in self._errors if number > mark)
            return "; ".join(list(lines)[-_TOLD:])

    log: TrtLog = Log()
    return log
