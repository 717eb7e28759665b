"""The recognition pipeline: `Predictor` reads text lines from whatever holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ocrhpi.closing import Closing
from ocrhpi.errors import BackendError, InputError, OptionError
from ocrhpi.options import plain
from ocrhpi.reading.stream import lines_ahead, read_stream
from ocrhpi.recognition.inputs import read_lines
from ocrhpi.results import TextRecResult
from ocrhpi.results.save_names import SaveNames
from ocrhpi.values import LineImage, TextLine, UnreadableLine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocrhpi.backends.base import Effective
    from ocrhpi.model import Model
    from ocrhpi.reading.base import LineReader
    from ocrhpi.recognition.inputs import Input

OnError = Literal["raise", "skip"]


class Predictor(Closing):
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
            on_error: ``raise`` stops at an input that cannot be read, or that the engine fails at, after the results
                before it; ``skip`` yields a result whose ``error`` is set and goes on. What an iterator of yours
                raises comes after the results of what it gave, with either.
            return_word_box: Also return words and their columns, see `TextRecResult`.

        Raises:
            OptionError: ``batch_size`` or ``on_error`` does not fit.
            InputError: An input cannot be read and ``on_error`` is ``raise``.
            BackendError: The engine failed at an input, which the error names, and ``on_error`` is ``raise``; or it
                does not work any more.
        """
        _check_on_error(on_error)
        batch_size = self.checked_batch_size(batch_size)
        most_lines = lines_ahead(batch_size or self.reader.batch_size, one_by_one=True)
        return self._results(source, most_lines, batch_size, on_error, return_word_box)

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
        _check_on_error(on_error)
        batch_size = self.checked_batch_size(batch_size)
        most_lines = lines_ahead(batch_size or self.reader.batch_size, one_by_one=False)
        return list(self._results(source, most_lines, batch_size, on_error, return_word_box))

    @staticmethod
    def checked_batch_size(batch_size: object) -> int | None:
        """Return the batch size as an int; None stays None: each part of a split has its own.

        Raises:
            OptionError: It is no whole number, or below 1.
        """
        size = plain(batch_size)
        if size is not None and (type(size) is not int or size < 1):
            raise OptionError("batch_size", f"received {batch_size!r}; expected a whole number, at least 1")
        return size

    def close(self) -> None:
        """Release the engine. Closing twice is fine."""
        self.reader.close()

    def _results(
        self,
        source: Input,
        most_lines: int,
        batch_size: int | None,
        on_error: OnError,
        return_word_box: bool,  # noqa: FBT001 - private; the public method takes it by keyword
    ) -> Iterator[TextRecResult]:
        stream = read_stream(
            self.reader,
            read_lines(source),
            most_lines=most_lines,
            batch_size=batch_size,
            return_word_box=return_word_box,
            stop_early=True,
        )
        for line, read in stream:
            if isinstance(line, LineImage) and isinstance(read, TextLine):
                yield TextRecResult.of_line(line, read, self._save_names)
            elif on_error == "skip" and isinstance(read, InputError | BackendError):
                fault = UnreadableLine(read, line.input_path, line.page_index)
                yield TextRecResult.of_error(fault, self._save_names)
            elif isinstance(read, Exception):
                raise read


def _check_on_error(on_error: object) -> None:
    if on_error not in ("raise", "skip"):
        raise OptionError("on_error", f"received {on_error!r}; expected 'raise' or 'skip'")
