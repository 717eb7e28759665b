"""What each row does to texts: changes against normal mode, and errors against the known texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tqdm import tqdm

from benchmarks.precision_table.contenders import FULL, NORMAL, VERIFIED, contenders
from benchmarks.precision_table.lines import CALIBRATION
from ocrhpi.assembly import open_engine
from ocrhpi.candidate import Candidate
from ocrhpi.tuning.gate import ReadLine, compare, passes
from ocrhpi.tuning.verification import MOST_MARGIN, threshold_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from benchmarks.precision_table.contenders import Contender
    from benchmarks.precision_table.lines import LineSet
    from ocrhpi.model import Model

__all__ = ["measure_accuracy"]

Read = dict[str, list[ReadLine]]
"""Name of a set of lines -> what was read on each."""


class _Pair(NamedTuple):
    """What verification makes of two readings.

    Attributes:
        read: What is read by both together.
        again: Of each set, the share of lines read twice.
    """

    read: Read
    again: dict[str, float]


def measure_accuracy(model: Model, sets: Mapping[str, LineSet]) -> dict[str, dict[str, Any]]:
    """Return for each title what it does to texts, as plain values; ``threshold`` is there for pairs alone."""
    read = {}
    for contender in tqdm(contenders(model), unit="row", disable=None):
        read[contender.title] = _read(model, contender, sets)
    rows = {title: {"sets": _compared(model, sets, read[NORMAL], one, {})} for title, one in read.items()}
    for title, first in VERIFIED.items():
        threshold = threshold_of(read[first][CALIBRATION], read[NORMAL][CALIBRATION])
        if threshold is None:
            rows[title] = {"threshold": None}
            continue
        pair = _verified(read[first], read[FULL], threshold)
        rows[title] = {"threshold": threshold, "sets": _compared(model, sets, read[NORMAL], pair.read, pair.again)}
    return rows


def _read(model: Model, contender: Contender, sets: Mapping[str, LineSet]) -> Read:
    assert isinstance(contender.setup, Candidate)  # noqa: S101 - these read alone
    reader = open_engine(model, contender.setup)
    reader.backend.rival_margin = MOST_MARGIN
    try:
        return {name: _with_margins(*reader.read_with_margins(lines.images)) for name, lines in sets.items()}
    finally:
        reader.close()


def _with_margins(texts: Sequence[Any], margins: Sequence[float]) -> list[ReadLine]:
    return [ReadLine(text.text, text.score, margin) for text, margin in zip(texts, margins, strict=True)]


def _verified(low: Read, full: Read, threshold: float) -> _Pair:
    """Take from ``full`` the lines that are in doubt in ``low``, as `ocrhpi.reading.verified` does."""
    read, again = {}, {}
    for name, lines in low.items():
        doubtful = [line.margin is not None and line.margin < threshold for line in lines]
        read[name] = [sure if safe else line for line, sure, safe in zip(lines, full[name], doubtful, strict=True)]
        again[name] = sum(doubtful) / len(doubtful)
    return _Pair(read, again)


def _compared(
    model: Model, sets: Mapping[str, LineSet], reference: Read, read: Read, again: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    rows = {}
    for name, lines in sets.items():
        result = compare(lines.known, reference[name], read[name], model.labels)
        rows[name] = {
            **result.model_dump(include={"lines", "changed", "labelled", "cer", "reference_cer"}),
            "no_loss": passes("no-loss", result) if result.labelled else None,
            "again": again.get(name),
        }
    return rows
