"""A dataset read by one engine after the other, as plain values for a program and as lines for a spreadsheet."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from ocrhpi.errors import OcrhpiError
from ocrhpi.evaluation.evaluate import evaluate

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrhpi.evaluation.evaluate import Dataset, Difference, Evaluation, Metric, Unwritable
    from ocrhpi.predictor import Predictor

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
class Report:
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

    def as_json(self) -> dict[str, Any]:
        """Return plain values: model, dataset, metric, and in ``backends`` each with the lines that it read wrong."""
        return {
            "model": self.model,
            "path": self.path,
            "dataset": self.dataset.name,
            "data": str(self.dataset.folder),
            "lines": len(self.dataset.labels),
            **asdict(self.metric),
            "unwritable": asdict(self.unwritable),
            "unreadable": [{"path": line.path, "error": line.error} for line in self.unreadable],
            "backends": [_row_as_json(row) for row in self.rows],
        }

    def as_tsv(self) -> str:
        """Return all lines that were read wrong, tab-separated, below a header."""
        lines = [
            "\t".join((row.backend, one.path, one.expected, one.read, " ".join(one.error.split())))
            for row in self.rows
            if row.evaluation
            for one in row.evaluation.differences
        ]
        return "\n".join(["backend\tpath\texpected\tread\terror", *lines]) + "\n"


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
        batch_size: As for `ocrhpi.evaluation.evaluate.evaluate`.
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


def _row_as_json(row: BackendRow) -> dict[str, Any]:
    facts: dict[str, Any] = {"backend": row.backend, "reason": row.reason, "seconds": round(row.seconds, 3)}
    if row.evaluation is None:
        return facts
    found = asdict(row.evaluation)
    del found["dataset"]
    return {**facts, "effective": row.effective, "unreadable": len(row.evaluation.unreadable), **found}
