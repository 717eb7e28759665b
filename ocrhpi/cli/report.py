"""``ocrhpi report``: what a benchmark found out, for people, spreadsheets, programs and browsers; or two of them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ocrhpi.output import say
from ocrhpi.report.compare import as_text, compare
from ocrhpi.report.files import read_rows, write_report


@click.command(
    "report",
    help="""Make the report of what 'ocrhpi bench -o DIRECTORY' measured: Markdown, CSV, JSON and one HTML page.

    With a second directory OTHER, print what got faster or slower from the first to the second, beyond noise; the exit
    status is 1 if high-performance mode of any model did get slower, or has no times any more.
    """,
)
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path), required=False)
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="Folder.  [default: DIRECTORY]")
def command(directory: Path, other: Path | None, output: Path | None) -> None:  # noqa: D103 - click documents it
    rows = read_rows(directory)
    if other is None:
        for path in write_report(rows, output or directory):
            say(path)
        return
    if output is not None:
        raise click.UsageError("--output is of no use with two directories: what changed is printed")
    comparison = compare(rows, read_rows(other))
    say(as_text(comparison, str(directory), str(other)), end="")
    if comparison.slower:
        sys.exit(1)
