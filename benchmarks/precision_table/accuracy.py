"""What each row does to texts: changes against normal mode, and errors against the known texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tqdm import tqdm

from benchmarks.precision_table.contenders import FULL, NORMAL, VERIFIED, contenders
from benchmarks.precision_table.lines import CALIBRATION
from ocrhpi.assembly import open_reader
from ocrhpi.tuning.gate import ReadLine, compare, passes
from ocrhpi.tuning.verification import MAX_MARGIN, threshold_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from benchmarks.precision_table.contenders import Contender
    from benchmarks.precision_table.lines import LineSet
    from ocrhpi.model import Model
    from ocrhpi.reading.base import LineReader

__all__ = ["Reading", "measure_accuracy", "verify"]

Read = dict[str, list[ReadLine]]
"""Name of a set of lines -> what was read on each."""


class Reading(NamedTuple):
    """What one row reads.

    Attributes:
        read: All lines; with margins up to ``threshold``, if there is one.
        threshold: Margin from which on a line is not read again; None where none is known to do.
    """

    read: Read
    threshold: float | None = None


def measure_accuracy(model: Model, sets: Mapping[str, LineSet]) -> dict[str, dict[str, Any]]:
    """Return for each title what it does to texts, as plain values; ``threshold`` is there for pairs alone."""
    found: dict[str, Reading] = {}
    for contender in tqdm(contenders(), unit="row", disable=None):
        found[contender.title] = _read(model, contender, sets, found.get(NORMAL))
    reference = found[NORMAL].read
    rows: dict[str, dict[str, Any]] = {
        title: {"sets": _compared(model, sets, reference, one.read, {})} for title, one in found.items()
    }
    for title, first in VERIFIED.items():
        rows[title] = {"threshold": found[first].threshold}
        if found[first].threshold is not None:
            read, again = verify(found[first], found[FULL].read)
            rows[title]["sets"] = _compared(model, sets, reference, read, again)
    return rows


def _read(model: Model, contender: Contender, sets: Mapping[str, LineSet], normal: Reading | None) -> Reading:
    """Read all sets; if a pair begins with this row, with margins, for which the lines of the tuning are read first."""
    with open_reader(model, contender.setup) as reader:
        margin, threshold = 0.0, None
        if normal is not None and contender.title in VERIFIED.values():
            threshold = threshold_of(_read_set(reader, sets[CALIBRATION], MAX_MARGIN), normal.read[CALIBRATION])
            margin = threshold or 0.0
        return Reading({name: _read_set(reader, lines, margin) for name, lines in sets.items()}, threshold)


def _read_set(reader: LineReader, lines: LineSet, margin: float) -> list[ReadLine]:
    return [ReadLine(line.text, line.score, line.margin) for line in reader.read(lines.images, margin=margin)]


def verify(low: Reading, full: Read) -> tuple[Read, dict[str, float]]:
    """Take from ``full`` the lines that are in doubt in ``low``, as `ocrhpi.reading.verified` does.

    Returns:
        What is read by both together, and of each set the share of lines read twice.
    """
    assert low.threshold is not None  # noqa: S101 - it verifies
    read, again = {}, {}
    for name, lines in low.read.items():
        doubtful = [line.margin is not None and line.margin < low.threshold for line in lines]
        read[name] = [sure if safe else line for line, sure, safe in zip(lines, full[name], doubtful, strict=True)]
        again[name] = sum(doubtful) / len(doubtful)
    return read, again


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
