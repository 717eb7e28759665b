"""The contract of a reader."""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from ocrhpi.closing import Closing
from ocrhpi.errors import BackendClosed
from ocrhpi.values import LineImage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ocrhpi.backends.base import Backend, Effective
    from ocrhpi.model import Model
    from ocrhpi.values import Contents, NetworkInput, TextLine, Widths

    Request: TypeAlias = tuple[NetworkInput, Widths | None, Contents | None]
    """Arguments of `ocrhpi.backends.base.Backend.run`."""

_log = logging.getLogger("ocrhpi")


class Shapes(NamedTuple):
    """Shapes, (rows, width), of the batches that engines run; each engine compiles for every one it meets.

    Attributes:
        seen: How many it has met.
        bound: How many it may meet at its own batch size; None where every width may come.
    """

    seen: int
    bound: int | None

    def plus(self, other: Shapes) -> Shapes:
        """Return the shapes of two engines together."""
        bound = None if self.bound is None or other.bound is None else self.bound + other.bound
        return Shapes(self.seen + other.seen, bound)


class Met(NamedTuple):
    """What meeting shapes took.

    Attributes:
        shapes: How many were met for the first time.
        seconds: That these took, beyond those that the same batches take from then on.
    """

    shapes: int = 0
    seconds: float = 0.0

    def plus(self, other: Met) -> Met:
        """Return what both took."""
        return Met(self.shapes + other.shapes, self.seconds + other.seconds)


class LineReader(Closing):
    """Reads lines; the text of a line depends on that line alone, not on the lines beside it.

    May be called from many threads. A context manager: leaving closes it.

    Attributes:
        model: The model that reads.
        batch_size: Lines of base width that it puts into one batch where the caller does not say.
    """

    model: Model
    batch_size: int

    @abstractmethod
    def read(
        self,
        lines: Sequence[LineImage],
        *,
        batch_size: int | None = None,
        return_word_box: bool = False,
        margin: float = 0.0,
    ) -> list[TextLine]:
        """Read lines that are in memory; return their texts in the same order.

        Args:
            lines: Any number of lines.
            batch_size: Most lines in one call of the engine; of wide lines, as many as make the same work. None
                takes the reader's own. Calls have a power of two lines.
            return_word_box: Also return words and their columns, see `ocrhpi.values.WordBoxes`.
            margin: Above 0: also say of each line by which margin of probability, up to this, it would have read as
                another text, in `TextLine.margin`.

        Raises:
            BackendError: The engine failed.
        """

    def read_each(
        self,
        lines: Sequence[LineImage],
        *,
        batch_size: int | None = None,
        return_word_box: bool = False,
    ) -> Iterator[TextLine | Exception]:
        """Read lines as `read` does, but lose only those that the engine fails at alone.

        Where it fails at them together, say for lack of memory, they are read one by one.

        Args:
            lines: As for `read`.
            batch_size: As for `read`.
            return_word_box: As for `read`.

        Yields:
            The text of each line, in order, or the error that takes its place.

        Raises:
            BackendError: The engine does not work any more, or was closed.
        """
        try:
            together = self.read(lines, batch_size=batch_size, return_word_box=return_word_box)
        except BackendClosed:
            raise
        except Exception as error:  # noqa: BLE001 - it comes again, at the line that it belongs to
            if len(lines) > 1:
                _log.warning("%s; the %d lines are read one by one", str(error).removesuffix("."), len(lines))
        else:
            yield from together
            return
        works = False  # what failed may be the engine itself, whatever the line
        for line in lines:
            read = self._read_alone(line, return_word_box=return_word_box)
            works = works or not isinstance(read, Exception) or self.still_works()
            if isinstance(read, Exception) and not works:
                raise read
            yield read

    def still_works(self) -> bool:
        """Tell, after a failure, whether the engine reads an empty line of base width."""
        spec = self.model.spec
        empty = LineImage(np.full((spec.height, spec.base_width, 3), 255, np.uint8))
        return not isinstance(self._read_alone(empty, return_word_box=False), Exception)

    def _read_alone(self, line: LineImage, *, return_word_box: bool) -> TextLine | Exception:
        try:
            return self.read([line], return_word_box=return_word_box)[0]
        except Exception as error:  # noqa: BLE001 - told in the place of the text
            return error

    @property
    @abstractmethod
    def effective(self) -> Effective:
        """What really runs."""

    @property
    @abstractmethod
    def shapes(self) -> Shapes:
        """How many shapes its engines have met, and may meet."""

    @abstractmethod
    def meet(self, lines: Sequence[LineImage]) -> Met:
        """Run, on blank lines, every shape that reading ``lines`` in one call will need and that was not met yet.

        An engine of several requests compiles for each of them, and what was read before ran in one: the others meet it
        here, too, which does not count.

        Raises:
            BackendError: The engine failed.
        """

    @abstractmethod
    def engine_for(self, width: int) -> SingleEngineReader:
        """Return the reader of lines of this exact width, in pixels, whose engine can be measured alone."""

    @abstractmethod
    def close(self) -> None:
        """Release the engine. Closing twice is fine."""


class SingleEngineReader(LineReader):
    """A reader on one engine, for those who measure that engine alone.

    Attributes:
        backend: The engine.
    """

    backend: Backend

    @abstractmethod
    def prepare(self, lines: Sequence[LineImage], *, batch_size: int | None = None) -> list[Request]:
        """Return the batches that `read` would run: arguments of ``backend.run``."""
