"""Read a dataset with one engine and count what it read right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrhpi.bench.rows import Accuracy
from ocrhpi.reading.stream import lines_ahead, read_stream
from ocrhpi.values import TextLine, UnreadableLine

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrhpi.evaluation.dataset import Dataset
    from ocrhpi.evaluation.metric import Metric
    from ocrhpi.predictor import Predictor


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
        accuracy: As `ocrhpi.evaluation.metric.Metric` defines it.
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
