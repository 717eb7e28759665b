"""A tuning as a table with notes, or as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rich.cells import cell_len
from rich.text import Text

from ocrhpi.report.formatting import COLUMN_GAP, bare_table, decimal, percent, plain, times, wrapped
from ocrhpi.report.tuning_figures import figures_of, lines_read, part_of_key
from ocrhpi.report.tuning_notes import (
    changed_texts,
    conclusion,
    legend,
    origin,
    read_again,
    refused,
    remarks,
    title,
    what_runs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table

    from ocrhpi.config.objective import Objective
    from ocrhpi.report.tuning_figures import Figures
    from ocrhpi.tuning.cache import Tuning

_MIN_NAME = 24
_MIN_NAME_SHARE = 4  # a quarter of the terminal
_MIN_BAR, _MAX_BAR = 8, 30
_BLOCKS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█")  # eighths


def rows_table(figures: Sequence[Figures], objective: Objective, width: int, *, ascii_only: bool = False) -> Table:
    """Return the table of what was measured.

    Args:
        figures: The rows, in the order in which they are shown.
        objective: What was asked; decides which columns there are.
        width: Columns of the terminal; where there is no room the least important are left out.
        ascii_only: Whether nothing else can be shown.
    """
    names = [plain(one.name) for one in figures]
    longest = max(map(cell_len, names), default=0)
    least = min(longest, max(_MIN_NAME, width // _MIN_NAME_SHARE))
    room = width - 1 - 2 * COLUMN_GAP
    speed, *others = _fitting(_columns(figures, objective), room - least - _MIN_BAR)
    room -= sum(column.width + COLUMN_GAP for column in (speed, *others))
    name_width = max(least, min(longest, room - _MIN_BAR))
    bar_width = max(_MIN_BAR, min(room - name_width, _MAX_BAR))
    fastest = max((one.speed or 0.0 for one in figures), default=0.0) or 1.0

    table = bare_table()
    table.add_column("", width=1)
    table.add_column("candidate", width=name_width)
    table.add_column(speed.title, justify="right", no_wrap=True)
    table.add_column("", width=bar_width, no_wrap=True)
    for column in others:
        table.add_column(column.title, justify=column.justify, no_wrap=True)
    for number, one in enumerate(figures):
        bar = _bar((one.speed or 0.0) / fastest, bar_width, ascii_only=ascii_only)
        cells = [
            wrapped(names[number], name_width),
            speed.cells[number],
            bar,
            *(column.cells[number] for column in others),
        ]
        table.add_row(_mark(one, ascii_only=ascii_only), *map(Text, cells), style=_style(one))
    return table


@dataclass(frozen=True)
class _Column:
    """One column of the table.

    Attributes:
        title: Its title.
        cells: Its text in each row.
        weight: How important it is.
        justify: At which end its cells meet.
    """

    title: str
    cells: Sequence[str]
    weight: int
    justify: Literal["left", "right"] = "right"

    @property
    def width(self) -> int:
        """Width of its widest cell."""
        return max(map(cell_len, (self.title, *self.cells)))


def _columns(figures: Sequence[Figures], objective: Objective) -> list[_Column]:
    """Return what there are figures for, the speed first."""
    rows = [one.row for one in figures]
    speed = _Column("vs normal mode, 95 %", [_speed(one) for one in figures], 10)
    found = [
        _Column("ms/line", [_about(one, one.ms) for one in figures], 8),
        _Column("changed", [_changed(one) for one in figures], 7),
        _Column("CER", [percent(row.gate.cer if row.gate else None) for row in rows], 3),
        _Column("MiB", [decimal(row.peak_mib) for row in rows], 5),
        _Column("load s", [decimal(row.load_s) for row in rows], 2),
        _Column("first ms", [decimal(row.first_call_ms) for row in rows], 1),
        _Column("ran", [_ran(row.effective or {}) for row in rows], 4, justify="left"),
    ]
    if objective.goal == "throughput":
        found.insert(1, _Column("lines/s", [_about(one, one.ms and 1e3 / one.ms) for one in figures], 6))
        found.insert(2, _Column("ms alone", [decimal(one.alone_ms) for one in figures], 9))
    return [speed, *(column for column in found if any(column.cells))]


def _fitting(columns: Sequence[_Column], room: int) -> list[_Column]:
    """Leave out the least important columns until the others fit; the most important one stays in any case."""
    kept = list(columns)
    while len(kept) > 1 and sum(column.width + COLUMN_GAP for column in kept) > room:
        kept.remove(min(kept, key=lambda column: column.weight))
    return kept


def _bar(share: float, width: int, *, ascii_only: bool) -> str:
    if ascii_only:
        return "#" * round(share * width)
    full, eighths = divmod(round(share * width * 8), 8)
    return _BLOCKS[8] * full + _BLOCKS[eighths]


def _mark(one: Figures, *, ascii_only: bool) -> str:
    if one.won:
        return ">" if ascii_only else "▶"
    return "x" if one.place is None else ""


def _style(one: Figures) -> str:
    if one.won:
        return "bold green"
    if one.place is None:
        return "dim"
    return "cyan" if one.row.baseline else ""


def _speed(one: Figures) -> str:
    ratio = one.ratio
    if ratio is None or ratio.rounds == 1 or one.row.baseline:  # normal mode is as fast as itself
        return "" if one.speed is None else _about(one, one.speed, times)
    low, high = (times(end).removesuffix("x") for end in (ratio.low, ratio.high))
    return f"{times(ratio.median)} ({low} to {high})"


def _about(one: Figures, value: float | None, wording: Callable[[float], str] = decimal) -> str:
    if value is None:
        return ""
    return ("~" if one.left_early else "") + wording(value)


def _changed(one: Figures) -> str:
    gate = one.row.gate
    return "" if gate is None else f"{gate.changed} of {gate.lines}"


def _ran(effective: Mapping[str, Any]) -> str:
    """Say in a few words what really ran; the engine stands in the name."""
    device, threads = effective.get("device"), effective.get("threads")
    facts = (effective.get("precision"), f"{threads} threads" if threads else None, device if device != "cpu" else None)
    return ", ".join(plain(str(fact)) for fact in facts if fact)


def tuning_table(tuning: Tuning, path: Path | str | None = None) -> RenderableType:
    """Return the table of a tuning, and below it what the choice was made by.

    It fits the width that it is printed in: columns of less importance are left out where there is no room.

    Args:
        tuning: The tuning.
        path: Its file, to be named.
    """
    return _View(tuning, path, evidence=False)


def tuning_evidence(tuning: Tuning, path: Path | str | None = None) -> RenderableType:
    """Return the table, before it where the tuning was made, and after it the texts that changed and what runs.

    Args:
        tuning: The tuning.
        path: Its file, to be named.
    """
    return _View(tuning, path, evidence=True)


def tuning_json(tuning: Tuning, path: Path | str | None = None) -> dict[str, Any]:
    """Return a tuning as plain values, with what follows from its samples in place of the samples.

    Args:
        tuning: The tuning.
        path: Its file, to be named.

    Returns:
        ``path``; ``created``; ``model`` (``name``, ``fingerprint``, ``path``); ``device``, ``machine``, ``engines`` and
        ``versions`` as in the key of the file; ``question`` as in the file; ``seconds``; ``load`` (before, at the end,
        or null); ``lines``: number of calibration lines; ``quick``: whether it was a quick look; ``provisional``:
        whether it is measured again the next time, since it rests on faults that may pass; ``winner``: its name;
        ``decided``; ``reason``;
        ``next_policy``: null or ``accuracy``, ``name`` and ``gain``; and ``rows``, in the order of the table, each:

        - ``name``, ``candidate``, ``outcome``, ``reason``, ``passing``, ``remarks``, ``baseline``, ``effective``,
          ``gate``, ``load_s``, ``first_call_ms``, ``peak_mib`` as in the file; what was not found out is null
        - ``winner``; ``place`` in which it may run, 1 for the winner, or null; ``refusal``: why it may not run
        - ``speed``: how many times as fast as normal mode, or null; ``interval``: [low, high], 95 %, and ``rounds``,
          null and 0 where the speed is from screening
        - ``ms_per_line``, ``lines_per_s``: of a stream; ``alone_ms``: of a line in a call of its own
    """
    choice, relaxed = tuning.choice, tuning.choice.next_policy
    winner_then = relaxed and tuning.rows[relaxed.row].candidate.name
    content = tuning.model_dump(mode="json", by_alias=True)
    return {
        "path": None if path is None else str(path),
        "created": tuning.created,
        "model": content["model"],
        "device": tuning.key.get("device"),
        "machine": part_of_key(tuning, "machine"),
        "engines": part_of_key(tuning, "engines"),
        "versions": part_of_key(tuning, "versions"),
        "question": content["question"],
        "seconds": tuning.seconds,
        "load": content["load"],
        "lines": lines_read(tuning),
        "quick": tuning.quick,
        "provisional": tuning.provisional,
        "winner": tuning.rows[choice.winner].candidate.name,
        "decided": choice.decided,
        "reason": choice.reason,
        "next_policy": relaxed and {"accuracy": relaxed.accuracy, "name": winner_then, "gain": relaxed.gain},
        "rows": [_row_json(one, content["rows"][one.number]) for one in figures_of(tuning)],
    }


def _row_json(one: Figures, content: Mapping[str, Any]) -> dict[str, Any]:
    kept = (
        "candidate",
        "outcome",
        "reason",
        "passing",
        "remarks",
        "baseline",
        "effective",
        "gate",
        "load_s",
        "first_call_ms",
        "peak_mib",
    )
    return {
        "name": one.row.candidate.name,
        **{name: content[name] for name in kept},
        "winner": one.won,
        "place": one.place,
        "refusal": one.refusal,
        "speed": one.speed,
        "interval": None if one.ratio is None else [one.ratio.low, one.ratio.high],
        "rounds": 0 if one.ratio is None else one.ratio.rounds,
        "ms_per_line": one.ms,
        "lines_per_s": None if one.ms is None else 1e3 / one.ms,
        "alone_ms": one.alone_ms,
    }


@dataclass(frozen=True)
class _View:
    """A tuning as rich draws it, in the width that there is.

    Attributes:
        tuning: The tuning.
        path: Its file.
        evidence: Whether to show where it was made, which texts changed, and what runs.
    """

    tuning: Tuning
    path: Path | str | None
    evidence: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        tuning, figures = self.tuning, figures_of(self.tuning)
        shown = [one for one in figures if one.row.outcome == "measured" or one.won]
        if self.evidence:
            yield origin(tuning)
            yield ""
        yield title(tuning)
        yield rows_table(shown, tuning.objective, options.max_width, ascii_only=options.ascii_only)
        yield from legend(shown)
        yield from _apart(refused(figures, evidence=self.evidence))
        if self.evidence:
            yield from _apart(changed_texts(figures))
            yield from _apart(read_again(figures))
            yield from _apart(remarks(figures))
            yield from _apart(what_runs(tuning))
        yield from _apart(conclusion(tuning, self.path, evidence=self.evidence))


def _apart(parts: Iterator[RenderableType]) -> Iterator[RenderableType]:
    """Yield the parts after an empty line; nothing if there are none."""
    for number, part in enumerate(parts):
        if not number:
            yield ""
        yield part
