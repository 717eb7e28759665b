"""An evaluation as plain values for a program, as lines for a spreadsheet, and as a table for people."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from ocrhpi.bench.rows import HIGH_PERFORMANCE
from ocrhpi.report.formatting import bare_table, percent, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from ocrhpi.evaluation.evaluate import BackendRow, Evaluations

_SHOWN_DIFFERENCES = 20
_SHOWN_CHARACTERS = 40


def evaluation_json(found_out: Evaluations) -> dict[str, Any]:
    """Return plain values: model, dataset, metric, and in ``backends`` each with the lines that it read wrong."""
    return {
        "model": found_out.model,
        "path": found_out.path,
        "dataset": found_out.dataset.name,
        "data": str(found_out.dataset.folder),
        "lines": len(found_out.dataset.labels),
        **asdict(found_out.metric),
        "unwritable": asdict(found_out.unwritable),
        "unreadable": [{"path": line.path, "error": line.error} for line in found_out.unreadable],
        "backends": [_row_as_json(row) for row in found_out.rows],
    }


def evaluation_tsv(found_out: Evaluations) -> str:
    """Return all lines that were read wrong, tab-separated, below a header."""
    lines = [
        "\t".join((row.backend, one.path, one.expected, one.read, " ".join(one.error.split())))
        for row in found_out.rows
        if row.evaluation
        for one in row.evaluation.differences
    ]
    return "\n".join(["backend\tpath\texpected\tread\terror", *lines]) + "\n"


def _row_as_json(row: BackendRow) -> dict[str, Any]:
    facts: dict[str, Any] = {"backend": row.backend, "reason": row.reason, "seconds": round(row.seconds, 3)}
    if row.evaluation is None:
        return facts
    found = asdict(row.evaluation)
    del found["dataset"]
    return {**facts, "effective": row.effective, "unreadable": len(row.evaluation.unreadable), **found}


def evaluation_view(found_out: Evaluations) -> RenderableType:
    """Return the table of all backends, and below it the lines that were read wrong, of each the first ones."""
    table = bare_table()
    table.add_column("backend")
    for title in ("accuracy", "norm. edit distance", "correct", "wrong", "unreadable"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in found_out.rows:
        table.add_row(row.backend, *_figures(row))
    title = f"{found_out.model} on {len(found_out.dataset.labels)} lines of {found_out.dataset.name}"
    return Group(Text(plain(title), style="bold"), table, *_notes(found_out), *_differing(found_out.rows))


def _figures(row: BackendRow) -> tuple[str, ...]:
    found = row.evaluation
    if found is None:
        return ("failed",)
    unreadable = len(found.unreadable)
    wrong = found.lines - found.correct - unreadable
    figures = (found.correct, wrong, unreadable)
    return (percent(found.accuracy), f"{found.norm_edit_distance:.4f}", *map(str, figures))


def _notes(found_out: Evaluations) -> Iterator[RenderableType]:
    for row in found_out.rows:
        if row.backend == HIGH_PERFORMANCE and row.effective is not None:
            yield Text(
                f"{HIGH_PERFORMANCE} runs {row.effective['backend']} in {row.effective['precision']}", style="dim"
            )
    beyond = found_out.unwritable
    if beyond.lines:
        shown = " ".join(beyond.characters[:_SHOWN_CHARACTERS])
        more = " ..." if len(beyond.characters) > _SHOWN_CHARACTERS else ""
        said = f"{beyond.lines} lines hold characters that the model's vocabulary cannot write: {plain(shown)}{more}"
        yield Text(said, style="yellow")


def _differing(rows: Sequence[BackendRow]) -> Iterator[RenderableType]:
    for row in rows:
        lines = [one for one in row.evaluation.differences if not one.error] if row.evaluation else []
        if not lines:
            continue
        table = bare_table()
        for title in (f"{row.backend}: line", "expected", "read"):
            table.add_column(title, overflow="fold")
        for one in lines[:_SHOWN_DIFFERENCES]:
            table.add_row(*map(Text, (plain(one.path), repr(one.expected), repr(one.read))))
        yield Text()
        yield table
        if len(lines) > _SHOWN_DIFFERENCES:
            yield Text(f"... and {len(lines) - _SHOWN_DIFFERENCES} more; --differences FILE writes all", style="dim")
