"""The next reader where one fails: high-performance mode goes on with what is left, down to normal mode."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ocrhpi.errors import BackendClosed, BackendError, BatchError, OcrhpiError
from ocrhpi.forks import RenewedLock
from ocrhpi.reading.base import LineReader, Met

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ocrhpi.backends.base import Effective
    from ocrhpi.reading.base import Shapes, SingleEngineReader
    from ocrhpi.values import LineImage, TextLine

_log = logging.getLogger("ocrhpi")

Source = tuple[str, "Callable[[], LineReader]"]
"""Name of a reader, for messages, and what opens it."""


class FallbackReader(LineReader):
    """Reads with the first of several readers that works; lines that one fails at are read by another.

    A reader that does not work any more is closed and not tried again; the next one takes its place. One that fails at
    a line, say a very large one, and reads others stays; the last reader reads such lines. Each failure is one warning
    in the log ``ocrhpi``.

    Args:
        sources: Name and opener of each reader, best first; the first that opens is opened at once.

    Raises:
        OcrhpiError: None opens; the error of the last one.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._left = list(sources)
        self._lock = RenewedLock()
        self._closed = False
        self._last: LineReader | None = None  # while another one is in use
        self._name, self._reader = self._open_next()
        self.model = self._reader.model
        self.batch_size = self._reader.batch_size

    @property
    def effective(self) -> Effective:
        """What really runs now."""
        return self._reader.effective

    def read(  # noqa: D102 - the contract's
        self,
        lines: Sequence[LineImage],
        *,
        batch_size: int | None = None,
        return_word_box: bool = False,
        margin: float = 0.0,
    ) -> list[TextLine]:
        while True:
            reader = self._reader
            try:
                return reader.read(lines, batch_size=batch_size, return_word_box=return_word_box, margin=margin)
            except BatchError:  # the caller's fault, or ours; no other engine takes it
                raise
            except BackendError as error:
                failure = error
            if isinstance(failure, BackendClosed) or not reader.still_works():
                self._replace(reader, failure)
            elif len(lines) == 1 and (last := self._beside(failure)):
                return last.read(lines, return_word_box=return_word_box, margin=margin)
            else:  # `read_each` goes on line by line
                raise failure

    @property
    def shapes(self) -> Shapes:
        """Those of the reader in use."""
        return self._reader.shapes

    def meet(self, lines: Sequence[LineImage]) -> Met:  # noqa: D102 - the contract's
        return self._reader.meet(lines)

    def engine_for(self, width: int) -> SingleEngineReader:  # noqa: D102 - the contract's
        return self._reader.engine_for(width)

    def close(self) -> None:  # noqa: D102 - the contract's
        with self._lock:
            self._closed = True
            self._reader.close()
            if self._last is not None:
                self._last.close()

    def _beside(self, error: BackendError) -> LineReader | None:
        """Return the last reader, opened if need be, beside the one in use; None if there is no other."""
        with self._lock:
            if self._last is None and self._left and not self._closed:
                name, opener = self._left[-1]
                try:
                    self._last = opener()
                except OcrhpiError as reason:
                    _log.warning("%s could not be loaded (%s)", name, reason)
                else:
                    _log.warning("%s failed at a line (%s); %s reads such lines", self._name, error, name)
            return self._last

    def _replace(self, failed: LineReader, error: BackendError) -> None:
        """Put the next reader in the place of ``failed``, once, whichever thread comes first."""
        with self._lock:
            if self._closed or (isinstance(error, BackendClosed) and self._reader is failed):
                raise error
            if self._reader is not failed:
                return
            if not self._left:
                raise error
            name = self._name
            self._name, self._reader = self._open_next()
            _log.warning("%s failed (%s) and is given up; %s reads from here on", name, error, self._name)
        # Not under the lock: calls that still run in it are waited for.
        failed.close()

    def _open_next(self) -> tuple[str, LineReader]:
        while True:
            name, opener = self._left.pop(0)
            if self._last is not None and not self._left:
                last, self._last = self._last, None
                return name, last
            try:
                return name, opener()
            except OcrhpiError as error:
                if not self._left:
                    raise
                _log.warning("%s could not be loaded (%s); trying %s", name, error, self._left[0][0])
