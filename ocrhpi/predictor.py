"""Walk A: `Predictor` reads text lines from whatever holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ocrhpi.errors import OptionError
from ocrhpi.recognition.inputs import read_lines
from ocrhpi.results import SaveNames, TextRecResult
from ocrhpi.values import LineImage, UnreadableLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from typing_extensions import Self

    from ocrhpi.backends.base import Effective
    from ocrhpi.model import Model
    from ocrhpi.reading.base import LineReader
    from ocrhpi.recognition.inputs import Input

__all__ = ["OnError", "Predictor"]

OnError = Literal["raise", "skip"]

# Lines read ahead, in batches: enough for lines of like width to meet, few enough to keep memory small.
_WINDOW_BATCHES = 8

# Where all results come at once anyway, lines are read in larger windows: of so many lines, or bytes of their pixels.
# Batches are then fuller, and cores wait less often for the end of a window.
_WINDOW_LINES = 256
_WINDOW_BYTES = 64 << 20


class Predictor:
    """Reads text lines; the text of a line depends on that line alone, not on its batch.

    May be called from many threads. A context manager: leaving closes the reader.

    Args:
        reader: What reads lines in memory; the predictor closes it.
    """

    def __init__(self, reader: LineReader) -> None:
        self.reader = reader
        self._save_names = SaveNames()

    @property
    def model(self) -> Model:
        """The model that reads."""
        return self.reader.model

    @property
    def effective(self) -> Effective:
        """What really runs."""
        return self.reader.effective

    def predict_iter(
        self,
        source: Input,
        *,
        batch_size: int | None = None,
        on_error: OnError = "raise",
        return_word_box: bool = False,
    ) -> Iterator[TextRecResult]:
        """Read everything in ``source``, lazily, in input order; holds no more than a few batches.

        Args:
            source: Path, URL, directory, PDF, image bytes, array (BGR), PIL image, or a list, tuple or iterator.
            batch_size: Most lines in one call of the engine; of wide lines, as many as make the same work. With 1
                every result comes as soon as it is read. None takes what the reader was made with, normally 1.
            on_error: ``raise`` stops at an unreadable input, after the results before it;
                ``skip`` yields a result whose ``error`` is set and goes on.
            return_word_box: Also return words and their columns, see `TextRecResult`.

        Raises:
            OptionError: ``batch_size`` or ``on_error`` does not fit.
            InputError: An input cannot be read and ``on_error`` is ``raise``.
            BackendError: The engine failed.
        """
        ahead = self._checked(batch_size, on_error)
        window_size = 1 if ahead == 1 else _WINDOW_BATCHES * ahead
        return self._results(_windows(read_lines(source), window_size), batch_size, on_error, return_word_box)

    def predict(
        self,
        source: Input,
        *,
        batch_size: int | None = None,
        on_error: OnError = "raise",
        return_word_box: bool = False,
    ) -> list[TextRecResult]:
        """Read everything in ``source``; return all results at once, in input order.

        Lines are prepared ahead and decoded behind at every batch size. Arguments and errors are those of
        `predict_iter`.
        """
        window_size = max(_WINDOW_LINES, _WINDOW_BATCHES * self._checked(batch_size, on_error))
        windows = _windows(read_lines(source), window_size)
        return list(self._results(windows, batch_size, on_error, return_word_box))

    def _checked(self, batch_size: int | None, on_error: OnError) -> int:
        """Return the batch size in force."""
        ahead = self.reader.batch_size if batch_size is None else batch_size
        if isinstance(ahead, bool) or not isinstance(ahead, int) or ahead < 1:
            raise OptionError("batch_size", f"received {batch_size!r}; expected a whole number, at least 1")
        if on_error not in {"raise", "skip"}:
            raise OptionError("on_error", f"received {on_error!r}; expected 'raise' or 'skip'")
        return ahead

    def close(self) -> None:
        """Release the engine. Closing twice is fine."""
        self.reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _results(
        self,
        windows: Iterable[list[LineImage | UnreadableLine]],
        batch_size: int | None,  # None stays None: each part of a split has its own
        on_error: OnError,
        return_word_box: bool,  # noqa: FBT001 - private; the public method takes it by keyword
    ) -> Iterator[TextRecResult]:
        for window in windows:
            readable = [line for line in window if isinstance(line, LineImage)]
            texts = iter(self.reader.read(readable, batch_size=batch_size, return_word_box=return_word_box))
            for line in window:
                if isinstance(line, LineImage):
                    yield TextRecResult.of_line(line, next(texts), self._save_names)
                elif on_error == "skip":
                    yield TextRecResult.of_error(line, self._save_names)
                else:
                    raise line.error


def _windows(lines: Iterable[LineImage | UnreadableLine], size: int) -> Iterator[list[LineImage | UnreadableLine]]:
    """Cut the stream into windows; an unreadable line ends its window, so that ``raise`` reads nothing in vain."""
    window: list[LineImage | UnreadableLine] = []
    room = _WINDOW_BYTES
    for line in lines:
        window.append(line)
        room -= line.pixels.nbytes if isinstance(line, LineImage) else room
        if len(window) == size or room <= 0:
            yield window
            window, room = [], _WINDOW_BYTES
    if window:
        yield window
