"""The table of the rows of a tuning: how fast each is, how it reads, what it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from ocrhpi.display.formatting import decimal, percent, plain, times, wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ocrhpi.display.summary import Figures
    from ocrhpi.tuning.objective import Objective

_GAP = 2
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
    room = width - 1 - 2 * _GAP
    speed, *others = _fitting(_columns(figures, objective), room - least - _MIN_BAR)
    room -= sum(column.width + _GAP for column in (speed, *others))
    name_width = max(least, min(longest, room - _MIN_BAR))
    bar_width = max(_MIN_BAR, min(room - name_width, _MAX_BAR))
    fastest = max((one.speed or 0.0 for one in figures), default=0.0) or 1.0

    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
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
    while len(kept) > 1 and sum(column.width + _GAP for column in kept) > room:
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
