"""``ocrhpi eval``: how well a model reads lines of known text, engine by engine."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from ocrhpi.backends.registry import backend_specs
from ocrhpi.bench.rows import HIGH_PERFORMANCE
from ocrhpi.cli.options import model_facts, option, source_of
from ocrhpi.config.normal_mode import normal_mode
from ocrhpi.config.reading_options import reading_options
from ocrhpi.errors import OptionError, nearest
from ocrhpi.evaluation.evaluate import Evaluations, Metric, evaluate_backend, load_dataset, unwritable
from ocrhpi.files import write_atomically
from ocrhpi.loader import find_model, open_predictor
from ocrhpi.output import say, say_json
from ocrhpi.report.evaluation import evaluation_json, evaluation_tsv, evaluation_view
from ocrhpi.report.formatting import print_view
from ocrhpi.report.live import watching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ocrhpi.config.reading_options import ReadingOptions
    from ocrhpi.evaluation.evaluate import Opener
    from ocrhpi.model import ModelSource
    from ocrhpi.predictor import Predictor

_PROGRESS_DELAY_S = 2.0  # short runs show no bar


@click.command(
    "eval",
    help="""Say how well MODEL (official name, folder or ONNX file) reads lines of known text.

    Accuracy and normalised edit distance are those of PaddleOCR's RecMetric. Lines whose image is missing or cannot be
    read count as wrong and are named.
    """,
)
@click.argument("model")
@model_facts
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    required=True,
    help="PaddleOCR's label file: path, tab and text in each line; or a JSON list of paths.",
)
@click.option(
    "--data", type=click.Path(path_type=Path), help="Folder that its paths are relative to.  [default: its own]"
)
@click.option(
    "--backend",
    "backends",
    multiple=True,
    metavar="NAME",
    help=f"A registered engine, or {HIGH_PERFORMANCE}; may be repeated.  [default: normal mode]",
)
@click.option("--device", help="cpu, gpu or gpu:INDEX.  [default: a GPU if the engine has one]")
@option("--hpi_config", f"Of {HIGH_PERFORMANCE}: a YAML file, or a file of ocrhpi tune.", metavar="FILE")
@click.option(
    "--ignore_space/--no_ignore_space",
    "--ignore-space/--no-ignore-space",
    " /--no-ignore_space",
    default=True,
    show_default=True,
    help="Ignore spaces when comparing.",
)
@option("--is_filter", "Only digits and letters of ASCII count, in lower case.", is_flag=True)
@option("--batch_size", "Maximum lines in one call.  [default: 1, or what was measured]", type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
@click.option(
    "--differences",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Write all lines that differ to this file, tab-separated.",
)
def command(  # noqa: D103, PLR0913 - click documents it; one parameter an option
    *,
    model: str,
    labels: Path,
    data: Path | None,
    backends: tuple[str, ...],
    device: str | None,
    hpi_config: str | None,
    ignore_space: bool,
    is_filter: bool,
    batch_size: int | None,
    as_json: bool,
    differences: Path | None,
    **facts: Any,  # noqa: ANN401 - validated by ModelSource
) -> None:
    source = source_of(model, facts)
    found = find_model(source)
    names = _checked(backends, hpi_config) or [normal_mode(found, device).backend]
    dataset = load_dataset(labels, data)
    metric = Metric(ignore_space=ignore_space, is_filter=is_filter)
    beyond = unwritable((label.text for label in dataset.labels), found.labels, metric)
    rows = []
    for name in names:
        opener = _opener(name, found.source, device, hpi_config)
        with _progress(name, len(dataset.labels)) as advance:
            rows.append(evaluate_backend(name, opener, dataset, metric, batch_size=batch_size, advance=advance))
    found_out = Evaluations(found.name, str(found.path), dataset, metric, beyond, tuple(rows))
    for line in found_out.unreadable:
        say(line.error, err=True)
    if as_json:
        say_json(evaluation_json(found_out), indent=2)
    else:
        print_view(evaluation_view(found_out))
    faults = [row.reason for row in rows if row.evaluation is None]
    if differences is not None:
        faults += _written(found_out, differences)
    if faults:
        raise click.ClickException("; ".join(faults))


def _checked(backends: Sequence[str], hpi_config: str | None) -> list[str]:
    """Return the names, each once."""
    known = [*backend_specs(), HIGH_PERFORMANCE]
    for name in backends:
        if name not in known:
            problem = f"received {name!r}; expected one of {', '.join(known)}.{nearest(name, known)}"
            raise OptionError("backend", problem)
    if hpi_config is not None and HIGH_PERFORMANCE not in backends:
        raise OptionError("hpi_config", f"received without '--backend {HIGH_PERFORMANCE}', which it is for; add that")
    return list(dict.fromkeys(backends))


def _opener(name: str, source: ModelSource, device: str | None, hpi_config: str | None) -> Opener:
    facts = source.model_dump()
    if name != HIGH_PERFORMANCE:
        return partial(open_predictor, reading_options(**facts, use_hpip=False, engine=name, device=device))
    return partial(_high_performance, reading_options(**facts, device=device, hpi_config=hpi_config))


def _high_performance(options: ReadingOptions) -> Predictor:
    with watching() as on_progress:
        return open_predictor(options, on_progress)


@contextmanager
def _progress(name: str, total: int) -> Iterator[Callable[[], object]]:
    with tqdm(total=total, desc=name, unit=" lines", delay=_PROGRESS_DELAY_S, disable=None) as bar:
        yield bar.update


def _written(found_out: Evaluations, file: Path) -> list[str]:
    """Write the differences; return why that failed."""
    try:
        write_atomically(file, evaluation_tsv(found_out))
    except OSError as error:
        return [f"{file} could not be written ({error.strerror}); give a file in a folder that exists"]
    return []
