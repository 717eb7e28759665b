"""``ocrhpi explain``: why a tuning chose what it chose, from its file alone."""

from __future__ import annotations

from pathlib import Path

import click

from ocrhpi.output import say_json
from ocrhpi.report.formatting import print_view
from ocrhpi.report.tuning_table import tuning_evidence, tuning_json
from ocrhpi.tuning.cache import read_tuning


@click.command(
    "explain",
    help="""Say why FILE, which 'ocrhpi tune' or use_hpip=True made, chose what it chose.

    Shows the machine and versions it was made with, all that was measured, which texts changed, what was refused and
    why, and what a more relaxed policy of accuracy would give.
    """,
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object to stdout.")
def command(file: Path, *, as_json: bool) -> None:  # noqa: D103 - click documents it
    tuning = read_tuning(file)
    if as_json:
        say_json(tuning_json(tuning, file), indent=2)
    else:
        print_view(tuning_evidence(tuning, file))
