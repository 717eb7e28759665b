"""Read a dataset of lines of known text with one engine, and count what it read right, as PaddleOCR's metric does."""

from __future__ import annotations

import os
import string
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ocrhpi.bench.rows import Accuracy
from ocrhpi.errors import OcrhpiError, OptionError, UnreadableInput
from ocrhpi.reading.stream import lines_ahead, read_stream
from ocrhpi.recognition.inputs import read_lines
from ocrhpi.recognition.labels import find_image, read_labels
from ocrhpi.tuning.gate import can_write
from ocrhpi.values import LineImage, TextLine, UnreadableLine

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from ocrhpi.predictor import Predictor
    from ocrhpi.recognition.labels import Label

_KEPT = frozenset(string.digits + string.ascii_letters)
_EPSILON = 1e-5  # PaddleOCR's guard against a division by zero; part of every figure that it prints


@dataclass(frozen=True, slots=True)
class Metric:
    """How PaddleOCR's ``RecMetric`` compares a text that was read with the one that is written on the line.

    The definition is that of ``ppocr/metrics/rec_metric.py`` in PaddleOCR 3, of which this is another writing. Accuracy
    is lines of equal text / (lines + 0.00001). Normalised edit distance is 1 - sum of (edit distance / length of the
    longer text) / (lines + 0.00001), where two empty texts are at distance 0. Both are better the higher.

    Attributes:
        ignore_space: Spaces (U+0020) do not count.
        is_filter: Only the digits and letters of ASCII count, upper case as lower case.
    """

    ignore_space: bool = True
    is_filter: bool = False

    def comparable(self, text: str) -> str:
        """Return what of ``text`` counts."""
        if self.ignore_space:
            text = text.replace(" ", "")
        if self.is_filter:
            text = "".join(char for char in text if char in _KEPT).lower()
        return text

    def distance(self, expected: str, read: str) -> float:
        """Return the edit distance of what counts over the longer length: 0.0 for equal texts, at most 1.0."""
        # Here, since what only parses a command line compares nothing.
        from rapidfuzz.distance import Levenshtein  # noqa: PLC0415

        return Levenshtein.normalized_distance(self.comparable(read), self.comparable(expected))

    @staticmethod
    def accuracy(correct: int, lines: int) -> float:
        """Return the share of lines that were read exactly."""
        return correct / (lines + _EPSILON)

    @staticmethod
    def norm_edit_distance(distances: Iterable[float], lines: int) -> float:
        """Return 1 minus the mean of the distances."""
        return 1 - sum(distances) / (lines + _EPSILON)


@dataclass(frozen=True, slots=True)
class Unwritable:
    """Texts that a model cannot read exactly, since its vocabulary cannot write them.

    Attributes:
        lines: How many texts.
        characters: The characters in them that are not in the vocabulary, the most frequent first.
    """

    lines: int
    characters: tuple[str, ...]


def unwritable(texts: Iterable[str], labels: Collection[str], metric: Metric) -> Unwritable:
    """Count the texts that cannot be put together from ``labels``, as far as the metric looks at them.

    PaddleOCR's own evaluation leaves such characters out of a text before it compares, and so finds more lines right.

    Args:
        texts: What is written on the lines.
        labels: What the classes of the model stand for, `ocrhpi.model.Model.labels`.
        metric: How texts are compared.
    """
    known = frozenset(map(metric.comparable, labels))
    lines = 0
    characters: Counter[str] = Counter()
    for text in map(metric.comparable, texts):
        unknown = [char for char in text if char not in known]
        if unknown and not can_write(text, known):  # a class may stand for several characters at once
            lines += 1
            characters.update(unknown)
    return Unwritable(lines, tuple(char for char, _ in characters.most_common()))


@dataclass(frozen=True, slots=True)
class Dataset:
    """Lines of known text.

    Attributes:
        name: Name of the folder.
        folder: What the paths of the labels are relative to, absolute.
        labels: What is written on each line, in the order of the label file; one image may be there several times.
    """

    name: str
    folder: Path
    labels: tuple[Label, ...]

    def read(self, label: Label) -> LineImage | UnreadableLine:
        """Read the image of a label; of a file of several pages the first, as PaddleOCR does."""
        path = str(find_image(self.folder, label.path) or self.folder / label.path)
        line = None if os.path.isdir(path) else next(read_lines(path), None)  # noqa: PTH112 - Path.is_dir() may raise
        if line is None:
            return UnreadableLine(UnreadableInput(path, "holds no image; expected the file of one line"), path)
        return line


def load_dataset(labels: Path | str, folder: Path | str | None = None) -> Dataset:
    """Read a label file and see that its images are where they should be; none is decoded before it is read.

    Args:
        labels: The label file, see `ocrhpi.recognition.labels.read_labels`.
        folder: What its paths are relative to; None: the folder that it is in.

    Raises:
        OptionError: The label file cannot be read, or holds no line or a malformed one; the folder does not exist, or
            holds none of the images.
    """
    file = Path(labels).absolute()
    place = file.parent if folder is None else Path(folder).absolute()
    read = read_labels(file, "labels")
    if not read:
        raise OptionError("labels", f"{file} holds no line; expected a path, a tab and a text in each")
    if not place.is_dir():
        raise OptionError("data", f"received {str(folder)!r}, no folder; expected what the paths in {file} start from")
    if not any(find_image(place, label.path) for label in read):
        problem = (
            f"none of the images of {file} are in {place}; expected, for example, {str(place / read[0].path)[:300]}"
        )
        raise OptionError("data", f"{problem}; give the folder that the paths start from")
    return Dataset(place.resolve().name or str(place), place, read)


@dataclass(frozen=True, slots=True)
class Difference:
    """A line that was not read as it is written.

    Attributes:
        path: The image, as in the label file.
        expected: What is written on it.
        read: What was read; empty if the image could not be read.
        error: Why the image could not be read; empty if it could.
    """

    path: str
    expected: str
    read: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a dataset was read.

    Attributes:
        dataset: Its name.
        lines: All labelled lines, those included whose image could not be read: they count as wrong.
        correct: Lines of equal text.
        accuracy: As `ocrhpi.evaluation.evaluate.Metric` defines it.
        norm_edit_distance: The same; a line whose image could not be read has distance 1.
        differences: The other lines, in the order of the label file.
    """

    dataset: str
    lines: int
    correct: int
    accuracy: float
    norm_edit_distance: float
    differences: tuple[Difference, ...]

    @property
    def unreadable(self) -> tuple[Difference, ...]:
        """The lines whose image could not be read."""
        return tuple(line for line in self.differences if line.error)

    @property
    def as_accuracy(self) -> Accuracy:
        """What a benchmark's row says of it."""
        unreadable = len(self.unreadable)
        return Accuracy(
            dataset=self.dataset,
            lines=self.lines - unreadable,
            accuracy=self.accuracy,
            norm_edit_distance=self.norm_edit_distance,
            unreadable=unreadable,
        )


def evaluate(
    predictor: Predictor,
    dataset: Dataset,
    metric: Metric,
    *,
    batch_size: int | None = None,
    advance: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Read all lines of ``dataset`` and compare them with their texts; holds no more than a few batches of images.

    Args:
        predictor: What reads.
        dataset: The lines.
        metric: How texts are compared.
        batch_size: Most lines in one call of the engine; None takes the predictor's own.
        advance: Is called once for each line.

    Raises:
        OptionError: ``batch_size`` does not fit.
        BackendError: The engine failed.
    """
    size = predictor.checked_batch_size(batch_size)
    most_lines = lines_ahead(size or predictor.reader.batch_size, one_by_one=False)
    faults: dict[int, str] = {}
    texts: dict[int, str] = {}
    stream = read_stream(predictor.reader, map(dataset.read, dataset.labels), most_lines=most_lines, batch_size=size)
    for number, (line, read) in enumerate(stream):
        if isinstance(read, TextLine):
            texts[number] = read.text
        elif isinstance(line, UnreadableLine):
            faults[number] = str(read)
        else:
            raise read
        advance()
    return _counted(dataset, metric, texts, faults)


def _counted(dataset: Dataset, metric: Metric, texts: dict[int, str], faults: dict[int, str]) -> Evaluation:
    differences = []
    distances = []
    for number, label in enumerate(dataset.labels):
        distance = 1.0 if number in faults else metric.distance(label.text, texts[number])
        if distance:
            distances.append(distance)
            differences.append(Difference(label.path, label.text, texts.get(number, ""), faults.get(number, "")))
    lines = len(dataset.labels)
    correct = lines - len(differences)
    return Evaluation(
        dataset=dataset.name,
        lines=lines,
        correct=correct,
        accuracy=metric.accuracy(correct, lines),
        norm_edit_distance=metric.norm_edit_distance(distances, lines),
        differences=tuple(differences),
    )


Opener: TypeAlias = "Callable[[], Predictor]"
"""Loads a backend; what it returns is closed by its taker."""


@dataclass(frozen=True, slots=True)
class BackendRow:
    """One backend: what it gave, or why it gave nothing.

    Attributes:
        backend: Its name, as it was asked for.
        seconds: Wall time of loading and reading.
        effective: What really ran, `ocrhpi.backends.base.Effective` as a dict.
        evaluation: How it read.
        reason: Why there is no evaluation; empty if there is one.
    """

    backend: str
    seconds: float
    effective: dict[str, Any] | None = None
    evaluation: Evaluation | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Evaluations:
    """What was found out about one model.

    Attributes:
        model: Its name.
        path: Its directory or file.
        dataset: What was read.
        metric: How texts were compared.
        unwritable: Texts of the dataset that the model cannot write.
        rows: One for each backend.
    """

    model: str
    path: str
    dataset: Dataset
    metric: Metric
    unwritable: Unwritable
    rows: tuple[BackendRow, ...]

    @property
    def unreadable(self) -> tuple[Difference, ...]:
        """The lines whose image could not be read; which those are does not depend on the backend."""
        return next((row.evaluation.unreadable for row in self.rows if row.evaluation), ())


def evaluate_backend(
    name: str,
    opener: Opener,
    dataset: Dataset,
    metric: Metric,
    *,
    batch_size: int | None = None,
    advance: Callable[[], object] = lambda: None,
) -> BackendRow:
    """Load a backend, read ``dataset`` with it and close it; a failure is a row with its reason.

    Args:
        name: The backend.
        opener: Loads it.
        dataset: The lines.
        metric: How texts are compared.
        batch_size: As for `evaluate`.
        advance: Is called once for each line.
    """
    start = time.monotonic()
    try:
        with opener() as predictor:
            evaluation = evaluate(predictor, dataset, metric, batch_size=batch_size, advance=advance)
            effective = asdict(predictor.effective)
    except OcrhpiError as error:
        return BackendRow(name, time.monotonic() - start, reason=str(error))
    return BackendRow(name, time.monotonic() - start, effective, evaluation)
