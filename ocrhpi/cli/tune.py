"""``ocrhpi tune``: measure what reads fastest on this machine, keep the result, and show it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from ocrhpi.cli.options import model_facts, option, source_of
from ocrhpi.config.hpi_config import read_hpi_config
from ocrhpi.config.objective import Goal
from ocrhpi.errors import OutputError
from ocrhpi.loader import find_model
from ocrhpi.output import say, say_json
from ocrhpi.report.formatting import print_view
from ocrhpi.report.live import watching
from ocrhpi.report.tuning_table import tuning_json, tuning_table
from ocrhpi.tuner import find_or_tune, plan
from ocrhpi.tuning.cache import write_tuning

if TYPE_CHECKING:
    from ocrhpi.tuner import Plan
    from ocrhpi.tuning.cache import Tuning

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


@click.command(
    "tune",
    help="""Measure what reads fastest on this machine with MODEL (official name, folder or ONNX file).

    Every installed engine is tried. A candidate that fails, or that reads different text than normal mode, cannot win.
    The result is cached, and use_hpip=True runs it from now on. Measures again even if a result is cached.
    """,
)
@click.argument("model")
@model_facts
@option("--device", "cpu, gpu or gpu:INDEX.  [default: a GPU if an engine can use it]")
@option(
    "--objective",
    "Lines per second, or milliseconds per line.  [default: throughput]",
    type=click.Choice(get_args(Goal)),
)
@option("--max_latency_ms", "Rule out candidates that take longer for one line per call.", type=float)
@option("--max_memory_mib", "Rule out candidates whose process needs more memory.", type=float)
@option("--cpu_threads", "CPU threads of every engine.  [default: the usable cores]", type=int)
@click.option("--budget", "budget_s", type=float, metavar="SECONDS", help="How long to measure.  [default: 60]")
@option("--calibration_dir", "Folder of your own lines, to check texts and to time with.", metavar="DIR")
@option("--accuracy", "identical, no-loss, or 'cer<=' and a rate such as 2%.  [default: identical]")
@option("--backend", "Compare only this engine with normal mode.", metavar="NAME")
@option("--backend_configs", "Folder of your own option grids.", metavar="DIR")
@option("--cache_dir", "Cache of results and exported models.", metavar="DIR")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also write the result to this file, an hpi_config for identical machines.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
def command(  # noqa: D103 - click documents it
    *,
    model: str,
    device: str | None,
    output: Path | None,
    as_json: bool,
    **asked: Any,  # noqa: ANN401 - validated as a configuration
) -> None:
    source = source_of(model, asked)
    given = {name: value for name, value in asked.items() if value is not None}
    try:
        config = read_hpi_config({**given, "tune": "always"})
        planned = plan(find_model(source), config, device)
        tuning = _measure(planned)
    except KeyboardInterrupt:
        say("stopped; no result was kept", err=True)
        click.get_current_context().exit(_INTERRUPTED)
    problem = None if output is None else _fault_of_writing(tuning, output)
    path = next((file for file in (output, planned.path) if file is not None and file.is_file()), None)
    if as_json:
        say_json(tuning_json(tuning, path), indent=2)
    else:
        print_view(tuning_table(tuning, path))
    if problem is not None:
        raise problem


def _fault_of_writing(tuning: Tuning, output: Path) -> OutputError | None:
    """Write the tuning; return why that failed, to be told after what took so long to measure."""
    try:
        write_tuning(tuning, output)
    except OutputError as error:
        return error
    return None


def _measure(planned: Plan) -> Tuning:
    with watching(planned.config.budget_s) as on_progress:
        tuning = find_or_tune(planned, on_progress)
    assert tuning is not None  # noqa: S101 - None is for 'never'
    return tuning
