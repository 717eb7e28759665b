"""Low precision first; the lines in which the network hesitated are read again in full precision."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from ocrhpi.backends.base import Effective
from ocrhpi.forks import RenewedLock, renew_in_children
from ocrhpi.reading.base import LineReader, Met, Shapes
from ocrhpi.recognition.geometry import geometry_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.reading.base import SingleEngineReader
    from ocrhpi.values import LineImage, TextLine

_log = logging.getLogger("ocrhpi")

WATCHED_LINES = 500
"""The share of lines read again is taken over so many of the latest lines."""


class _Seen(NamedTuple):
    """Lines of one call, or the sum over calls.

    Attributes:
        lines: How many.
        again: How many of them were read again.
        width: Sum of their widths in pixels, as the network gets them: what reading them costs.
        width_again: The same of those that were read again. Long lines are in doubt more often.
    """

    lines: int = 0
    again: int = 0
    width: int = 0
    width_again: int = 0

    def plus(self, other: _Seen, sign: int = 1) -> _Seen:
        return _Seen(*(mine + sign * theirs for mine, theirs in zip(self, other, strict=True)))


class VerifiedReader(LineReader):
    """Reads with a low precision, and again in full precision what might read otherwise there.

    A line in which no class within the threshold of the most probable one makes another text (see
    `ocrhpi.recognition.near_ties`) keeps its text. The second pass follows the first within a call: two engines that
    run at once share the cores of one machine worse than either uses them alone.

    When so much is read again that full precision alone would be quicker, it reads alone from then on.

    Args:
        low: Reads in low precision, and says by which margins.
        full: Reads in full precision.
        threshold: Margin of probability from which on a line is not read again.
        break_even: Share of the widths of lines read again from which on ``full`` alone is quicker.
    """

    def __init__(self, low: LineReader, full: LineReader, *, threshold: float, break_even: float) -> None:
        self.model = full.model
        self.batch_size = max(low.batch_size, full.batch_size)
        self._low = low
        self._full = full
        self._threshold = threshold
        self._break_even = break_even
        self._lock = RenewedLock()
        self._latest: deque[_Seen] = deque()  # call by call
        self._sum = _Seen()
        self._alone = False
        renew_in_children(self)

    @property
    def effective(self) -> Effective:
        """What really runs: both engines under ``low`` and ``full``, and the share of late lines that both read."""
        low, full = self._low.effective, self._full.effective
        if self._alone:
            return full
        with self._lock:
            seen = self._sum
        return Effective(
            backend=low.backend if low.backend == full.backend else f"{low.backend}+{full.backend}",
            engine_version=low.engine_version,
            device=full.device,
            precision="+".join(dict.fromkeys((low.precision, full.precision))),
            threads=max(low.threads, full.threads),
            settings={
                "threshold": self._threshold,
                "break_even": self._break_even,
                "read_again": round(seen.again / seen.lines, 4) if seen.lines else None,
                "low": dict(low.settings),
                "full": dict(full.settings),
            },
            notes=(*low.notes, *full.notes),
        )

    def read(  # noqa: D102 - the contract's
        self,
        lines: Sequence[LineImage],
        *,
        batch_size: int | None = None,
        return_word_box: bool = False,
        margin: float = 0.0,
    ) -> list[TextLine]:
        options: dict[str, Any] = {"batch_size": batch_size, "return_word_box": return_word_box}
        if self._alone:
            return self._full.read(lines, **options, margin=margin)
        read = self._low.read(lines, **options, margin=max(margin, self._threshold))
        doubtful = [number for number, line in enumerate(read) if (line.margin or 0.0) < self._threshold]
        if doubtful:
            texts = self._full.read([lines[number] for number in doubtful], **options, margin=margin)
            for number, text in zip(doubtful, texts, strict=True):
                read[number] = text
        widths = [geometry_of(line, self.model.spec).padded_width for line in lines]
        width_again = sum(widths[number] for number in doubtful)
        self._watch(_Seen(len(lines), len(doubtful), sum(widths), width_again))
        return read

    @property
    def shapes(self) -> Shapes:
        """Those of both."""
        return self._low.shapes.plus(self._full.shapes)

    def meet(self, lines: Sequence[LineImage]) -> Met:  # noqa: D102 - the contract's
        return self._low.meet(lines).plus(self._full.meet(lines))

    def engine_for(self, width: int) -> SingleEngineReader:  # noqa: D102 - the contract's
        return (self._full if self._alone else self._low).engine_for(width)

    def renew_after_fork(self) -> None:
        """Count anew in a forked child: another thread may have been counting."""
        self._latest, self._sum = deque(), _Seen()

    def close(self) -> None:  # noqa: D102 - the contract's
        try:
            self._low.close()
        finally:
            self._full.close()

    def _watch(self, call: _Seen) -> None:
        """Count; give the low precision up once it does not pay."""
        with self._lock:
            self._latest.append(call)
            self._sum = self._sum.plus(call)
            while self._sum.lines - self._latest[0].lines >= WATCHED_LINES:
                self._sum = self._sum.plus(self._latest.popleft(), -1)
            seen = self._sum
            pays = seen.width_again <= self._break_even * seen.width
            if self._alone or seen.lines < WATCHED_LINES or pays:
                return
            self._alone = True
        # Left open: other threads may be in it, and its memory is freed with the reader's.
        _log.warning(
            "verified %s: %d of the last %d lines were in doubt, %.0f %% of their width, and up to %.0f %% pay; "
            "%s reads alone from here on",
            self._low.effective.precision,
            seen.again,
            seen.lines,
            100 * seen.width_again / seen.width,
            100 * self._break_even,
            self._full.effective.precision,
        )
