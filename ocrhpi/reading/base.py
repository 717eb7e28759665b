"""The contract of a reader."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from typing_extensions import Self

    from ocrhpi.backends.base import Effective
    from ocrhpi.model import Model
    from ocrhpi.reading.engine import EngineReader
    from ocrhpi.values import LineImage, TextLine

__all__ = ["LineReader"]


class LineReader(ABC):
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
        self, lines: Sequence[LineImage], *, batch_size: int | None = None, return_word_box: bool = False
    ) -> list[TextLine]:
        """Read lines that are in memory; return their texts in the same order.

        Args:
            lines: Any number of lines.
            batch_size: Most lines in one call of the engine; of wide lines, as many as make the same work. None
                takes the reader's own.
            return_word_box: Also return words and their columns, see `ocrhpi.values.WordBoxes`.

        Raises:
            BackendError: The engine failed.
        """

    @property
    @abstractmethod
    def effective(self) -> Effective:
        """What really runs."""

    @abstractmethod
    def engine_for(self, width: int) -> EngineReader:
        """Return the reader of lines of this exact width, in pixels, whose engine can be measured alone."""

    @abstractmethod
    def close(self) -> None:
        """Release the engine. Closing twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
