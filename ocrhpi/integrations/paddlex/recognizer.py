"""PaddleX's text recognition predictor, reading with ocrhpi: its inputs, batches and results; our texts."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from paddlex.inference.models.runners import InferenceRunner
from paddlex.inference.models.text_recognition.predictor import TextRecRunnerPredictor

from ocrhpi.config.reading_options import reading_options
from ocrhpi.errors import BackendClosed
from ocrhpi.loader import open_predictor
from ocrhpi.reading.stream import lines_ahead, read_stream
from ocrhpi.recognition.decoding import pixels_from_array
from ocrhpi.report.live import watching
from ocrhpi.values import LineImage, TextLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from ocrhpi.backends.base import Effective
    from ocrhpi.integrations.paddlex.settings import Settings
    from ocrhpi.reading.base import LineReader
    from ocrhpi.values import Pixels


class ReaderRunner(InferenceRunner):  # type: ignore[misc] # PaddleX has no types
    """Where PaddleX has a network, this has a reader.

    Args:
        model_dir: The model.
        settings: How it is to run.
    """

    def __init__(self, model_dir: Path, settings: Settings) -> None:
        self.settings = settings
        self._model_dir = model_dir
        self._reader: LineReader | None = None

    @property
    def reader(self) -> LineReader:
        """The reader.

        Raises:
            BackendClosed: It is not open.
        """
        if self._reader is None:
            raise BackendClosed("ocrhpi", "new")
        return self._reader

    @property
    def effective(self) -> Effective:
        """What really runs."""
        return self.reader.effective

    def open(self, input_shape: Sequence[int] | None) -> None:
        """Open the reader; measures what reads fastest where that is not known.

        Args:
            input_shape: (3, height, width) that lines are stretched to, which PaddleX tells the predictor alone.

        Raises:
            OcrhpiError: As `ocrhpi.loader.open_predictor`.
        """
        options = reading_options(
            model_dir=self._model_dir,
            device=self.settings.device,
            hpi_config=self.settings.hpi,
            input_shape=None if input_shape is None else [int(size) for size in input_shape],
        )
        with watching() as on_progress:
            self._reader = open_predictor(options, on_progress).reader

    def __call__(self, lines: Iterable[LineImage], batch_size: int, *, return_word_box: bool) -> Iterator[TextLine]:
        """Read lines, lazily and in order.

        Args:
            lines: Any number.
            batch_size: Of the caller; a measured one takes its place, since no text depends on it.
            return_word_box: Also return words.

        Raises:
            BackendError: The engine failed at a line, after the texts before it.
        """
        stream = read_stream(
            self.reader,
            lines,
            most_lines=lines_ahead(self.reader.batch_size, one_by_one=True),
            batch_size=None if self.reader.batch_size > 1 else batch_size,
            return_word_box=return_word_box,
        )
        for _, text in stream:
            if not isinstance(text, TextLine):
                raise text
            yield text

    def close(self) -> None:
        """Release the engine. Closing twice is fine."""
        if self._reader is not None:
            self._reader.close()


@dataclass(frozen=True)
class _Batch:
    """What PaddleX puts into one batch.

    Attributes:
        paths: Of each input; None for arrays.
        pages: 0-based page of each; None where there are none.
        images: As PaddleX returns them in results.
        lines: The same for the reader.
    """

    paths: list[str | None]
    pages: list[int | None]
    images: list[npt.NDArray[Any]]
    lines: list[LineImage]

    @property
    def columns(self) -> dict[str, list[Any]]:
        """What its results have besides what was read."""
        return {"input_path": self.paths, "page_index": self.pages, "input_img": self.images}


class Recognizer(TextRecRunnerPredictor):  # type: ignore[misc] # PaddleX has no types
    """Reads PaddleX's batches, several at a time, and returns its results.

    Args:
        *args: PaddleX's.
        input_shape: Shape that lines are stretched to; None keeps their aspect ratio.
        **kwargs: PaddleX's.

    Raises:
        OcrhpiError: As `ReaderRunner.open`.
    """

    def __init__(self, *args: Any, input_shape: Sequence[int] | None = None, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, input_shape=input_shape, **kwargs)
        self.runner.open(input_shape)

    def apply(self, input: Any, *, return_word_box: bool = False) -> Iterator[Any]:  # noqa: A002, ANN401 - PaddleX's
        """Read everything in ``input``, lazily, in the order of PaddleX's batches.

        Args:
            input: What PaddleX takes.
            return_word_box: As there.

        Raises:
            UnreadableInput: An array is none of an image.
            BackendError: The engine failed.
        """
        waiting: deque[tuple[_Batch, int]] = deque()

        def lines() -> Iterator[LineImage]:
            for sampled in self.batch_sampler(input):
                batch = self._batch(sampled)
                waiting.extend((batch, number) for number in range(len(batch.lines)))
                yield from batch.lines

        for text in self._read(lines(), return_word_box=return_word_box):
            batch, number = waiting.popleft()
            yield self.result_class({key: column[number] for key, column in batch.columns.items()} | self._row(text))

    def process(self, batch_data: Any, return_word_box: bool = False) -> dict[str, list[Any]]:  # noqa: ANN401, FBT001, FBT002
        """Read one of PaddleX's batches, for those of its callers that have one."""
        batch = self._batch(batch_data)
        rows = [self._row(text) for text in self._read(batch.lines, return_word_box=return_word_box)]
        return batch.columns | {key: [row[key] for row in rows] for key in ("rec_text", "rec_score", "vis_font")}

    def _batch(self, sampled: Any) -> _Batch:  # noqa: ANN401
        images = self.pre_tfs["Read"](imgs=sampled.instances)
        reversed_channels = self.runner.reader.model.spec.color == "RGB"
        pixels = [
            _pixels(image, path or f"array number {number}", reversed_channels=reversed_channels)
            for number, (image, path) in enumerate(zip(images, sampled.input_paths, strict=True))
        ]
        ratio = None
        if self.runner.settings.padding == "batch":
            ratio = max((image.shape[1] / image.shape[0] for image in pixels), default=None)
        named = zip(pixels, sampled.input_paths, sampled.page_indexes, strict=True)
        lines = [LineImage(image, path, page, batch_ratio=ratio) for image, path, page in named]
        # Copies: at an input that it does not know PaddleX's sampler goes on to fill a batch that it has given out.
        return _Batch(list(sampled.input_paths), list(sampled.page_indexes), images, lines)

    def _read(self, lines: Iterable[LineImage], *, return_word_box: bool) -> Iterator[TextLine]:
        words = return_word_box or self.return_word_box
        texts: Iterator[TextLine] = self.runner(lines, self.batch_sampler.batch_size, return_word_box=words)
        return texts

    def _row(self, text: TextLine) -> dict[str, Any]:
        return {"rec_text": _rec_text(text), "rec_score": text.score, "vis_font": self.vis_font}


def _pixels(image: npt.NDArray[Any], where: str, *, reversed_channels: bool) -> Pixels:
    """Return BGR of what PaddleX read, for a model of the other order, as RGB."""
    if reversed_channels and image.ndim == 3:  # noqa: PLR2004 - grey has no order
        image = np.concatenate([image[..., 2::-1], image[..., 3:]], axis=2)
    return pixels_from_array(image, where)


def _rec_text(text: TextLine) -> str | tuple[str, list[Any]]:
    """Return the text in PaddleX's form; with word boxes that is a tuple."""
    boxes = text.word_boxes
    if boxes is None:
        return text.text
    return text.text, [boxes.column_count, boxes.words, boxes.columns, boxes.kinds]
