"""Walk A: `Predictor` reads text lines with one model on one backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ocrhpi.errors import OptionError
from ocrhpi.recognition.batching import plan_batches
from ocrhpi.recognition.ctc import CtcDecoder
from ocrhpi.recognition.direction import to_visual_order
from ocrhpi.recognition.geometry import line_geometry, text_fraction
from ocrhpi.recognition.inputs import read_lines
from ocrhpi.recognition.tensors import to_tensor
from ocrhpi.results import SaveNames, TextRecResult
from ocrhpi.values import LineImage, UnreadableLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from ocrhpi.backends.base import Backend
    from ocrhpi.model import Model
    from ocrhpi.recognition.inputs import Input
    from ocrhpi.values import TextLine

__all__ = ["OnError", "Predictor"]

OnError = Literal["raise", "skip"]

# Lines read ahead, in batches: enough for lines of equal width to meet, few enough to keep memory small.
_WINDOW_BATCHES = 4


class Predictor:
    """Reads text lines; the text of a line depends on that line alone, not on its batch.

    May be called from many threads. A context manager: leaving closes the backend.

    Args:
        model: The model.
        backend: An open backend that holds this model; the predictor closes it.
    """

    def __init__(self, model: Model, backend: Backend) -> None:
        self.model = model
        self.backend = backend
        self._decoder = CtcDecoder(model.labels)
        self._save_names = SaveNames()

    def predict_iter(
        self,
        source: Input,
        *,
        batch_size: int = 1,
        on_error: OnError = "raise",
        return_word_box: bool = False,
    ) -> Iterator[TextRecResult]:
        """Read everything in ``source``, lazily, in input order; holds no more than a few batches.

        Args:
            source: Path, URL, directory, PDF, image bytes, array (BGR), PIL image, or a list, tuple or iterator.
            batch_size: Most lines in one call of the engine. With 1 every result comes as soon as it is read.
            on_error: ``raise`` stops at an unreadable input, after the results before it;
                ``skip`` yields a result whose ``error`` is set and goes on.
            return_word_box: Also return words and their columns, see `TextRecResult`.

        Raises:
            OptionError: ``batch_size`` or ``on_error`` does not fit.
            InputError: An input cannot be read and ``on_error`` is ``raise``.
            BackendError: The engine failed.
        """
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise OptionError("batch_size", f"received {batch_size!r}; expected a whole number, at least 1")
        if on_error not in {"raise", "skip"}:
            raise OptionError("on_error", f"received {on_error!r}; expected 'raise' or 'skip'")
        window_size = 1 if batch_size == 1 else _WINDOW_BATCHES * batch_size
        return self._results(_windows(read_lines(source), window_size), batch_size, on_error, return_word_box)

    def read(self, lines: Sequence[LineImage], *, batch_size: int = 1, return_word_box: bool = False) -> list[TextLine]:
        """Read lines that are already in memory; returns their texts in the same order."""
        spec = self.model.spec
        sizes = [(line.pixels.shape[1], line.pixels.shape[0]) for line in lines]
        geometries = [line_geometry(width, height, spec) for width, height in sizes]
        read: dict[int, TextLine] = {}
        for batch in plan_batches(geometries, batch_size):
            tensor = to_tensor([lines[n].pixels for n in batch], [geometries[n] for n in batch], spec)
            emissions = self.backend.run(tensor)
            if return_word_box:
                texts = self._decoder.decode_words(emissions, [text_fraction(*sizes[n], spec) for n in batch])
            else:
                texts = self._decoder.decode(emissions)
            read.update(zip(batch, texts, strict=True))
        in_order = [read[number] for number in range(len(lines))]
        return [to_visual_order(line) for line in in_order] if self.model.visual_order else in_order

    def close(self) -> None:
        """Release the engine. Closing twice is fine."""
        self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _results(
        self,
        windows: Iterable[list[LineImage | UnreadableLine]],
        batch_size: int,
        on_error: OnError,
        return_word_box: bool,  # noqa: FBT001 - private; the public method takes it by keyword
    ) -> Iterator[TextRecResult]:
        for window in windows:
            readable = [line for line in window if isinstance(line, LineImage)]
            texts = iter(self.read(readable, batch_size=batch_size, return_word_box=return_word_box))
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
    for line in lines:
        window.append(line)
        if len(window) == size or isinstance(line, UnreadableLine):
            yield window
            window = []
    if window:
        yield window
