"""``ocrhpi batch``: read a folder, a manifest or Parquet files into JSON lines or Parquet, and go on after a stop."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from ocrhpi.batch.formats import check_format
from ocrhpi.batch.plan import job_of
from ocrhpi.batch.pool import LocalPool, share_of_a_worker
from ocrhpi.batch.run import run_batch
from ocrhpi.batch.sources import find_source
from ocrhpi.batch.store import open_store
from ocrhpi.batch.tunings import device_of, measure_winner
from ocrhpi.cli.options import model_facts, option, source_of, switch
from ocrhpi.config.reading_options import reading_options
from ocrhpi.errors import OcrhpiError, OptionError
from ocrhpi.loader import find_model
from ocrhpi.machine import usable_cores
from ocrhpi.output import say
from ocrhpi.report.live import watching
from ocrhpi.text_recognition import DEFAULT_MODEL_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocrhpi.batch.formats import Format
    from ocrhpi.batch.pool import Pool
    from ocrhpi.batch.sources import Source
    from ocrhpi.batch.store import Store
    from ocrhpi.config.reading_options import ReadingOptions

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_PROGRESS_DELAY_S = 2.0  # short runs show no bar


@click.command(
    "batch",
    help="""Read all lines of INPUT into the folder OUTPUT.

    INPUT is a folder of images, at any depth; a Parquet file of encoded images, or a folder of such files; or a
    manifest: one path a line, or PaddleOCR's label file. Each image is one line of text, and one row of the results.
    One that cannot be read is a row whose 'error' says why.

    Run again, it does only what is missing: after a stop, after a crash, or when INPUT has grown.
    """,
)
@click.argument("source", metavar="INPUT", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="Output folder.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Local processes, or actors of a Ray cluster.",
)
@click.option(
    "--address",
    help="Ray cluster: auto, HOST:PORT or ray://HOST:PORT.  [default: the one Ray finds, or a new local one]",
)
@click.option("--workers", type=click.IntRange(1), help="Number of processes or actors.  [default: as many as fit]")
@option("--cpus_per_worker", "CPU threads of each.  [default: an equal share, at most 4]", type=click.IntRange(1))
@click.option("--model", default=DEFAULT_MODEL_NAME, show_default=True, help="Official name, folder or ONNX file.")
@model_facts
@click.option("--device", help="cpu, gpu or gpu:INDEX.  [default: here a GPU if an engine can use it, on Ray cpu]")
@switch("--use_hpip", "High-performance mode, which measures the first time.", default=True)
@option("--hpi_config", "Its configuration: a YAML file, or a file that ocrhpi tune wrote.", metavar="FILE")
@option("--batch_size", "Maximum lines in one call.  [default: what was measured, or 8]", type=click.IntRange(1))
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["parquet", "jsonl"]),
    help="Format of the results.  [default: parquet for Parquet input, else jsonl]",
)
@option("--image_column", "Column of the images in Parquet.", default="image", show_default=True)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that the paths of a manifest are relative to.  [default: its own]",
)
@option("--rows_per_part", "Rows in one file of results.  [default: 64 to 1000]", type=click.IntRange(1))
def command(  # noqa: D103, PLR0913 - click documents it; one parameter an option
    *,
    source: Path,
    output: Path,
    engine: str,
    address: str | None,
    workers: int | None,
    cpus_per_worker: int | None,
    model: str,
    output_format: Format | None,
    image_column: str,
    data: Path | None,
    rows_per_part: int | None,
    **reading: Any,  # noqa: ANN401 - validated by reading_options
) -> None:
    if address is not None and engine != "ray":
        raise OptionError("address", "received without '--engine ray', which it is for; add that")
    options = reading_options(**{**source_of(model, reading).model_dump(), **reading})
    found = find_source(source, image_column=image_column, root=data)
    chosen = output_format or ("parquet" if found.is_table else "jsonl")
    check_format(chosen)
    job = job_of(found, find_model(options), options, chosen)
    with open_store(output, job) as store, _stoppable(store):
        store.extend(found, rows_per_part, workers or usable_cores())
        unread = 0
        if store.missing():
            with _pool(engine, options, workers, cpus_per_worker, address) as pool:
                unread = _run(found, store, pool)
    rows = sum(shard.rows for shard in store.shards)
    said = f"; {unread} of those read now could not be read" if unread else ""
    say(f"{rows} rows in {output}{said}", err=True)


def _pool(engine: str, options: ReadingOptions, workers: int | None, cpus: int | None, address: str | None) -> Pool:
    """Measure if need be, and start the workers."""
    if engine == "ray":
        from ocrhpi.integrations.ray_cluster import RayPool, connect  # noqa: PLC0415 - an optional extra

        connect(address)
        if options.is_measured:
            say("asking the nodes what was measured; a node of a new kind measures for some seconds first", err=True)
        return RayPool(options, workers, cpus, gpus=0.0 if options.device in {None, "cpu"} else 1.0)
    device = device_of(options) if options.is_measured else options.device
    on_gpu = device not in {None, "cpu"}
    count, threads = share_of_a_worker(workers or 1 if on_gpu else workers, cpus)
    options = options.model_copy(update={"device": device, "threads": threads})
    if options.is_measured:
        with watching() as on_progress:
            measure_winner(options, on_progress)
        options = options.without_measuring()
    return LocalPool(options, count)


def _run(source: Source, store: Store, pool: Pool) -> int:
    """Read what is missing; return how many rows could not be read."""
    total, missing = (sum(shard.rows for shard in shards) for shards in (store.shards, store.missing()))
    faults = 0
    bar = tqdm(total=total, initial=total - missing, unit=" lines", delay=_PROGRESS_DELAY_S, disable=None)

    def done(rows: int, unread: int) -> None:
        nonlocal faults
        faults += unread
        bar.set_postfix_str(f"{faults} unreadable" if faults else "", refresh=False)
        bar.update(rows)

    with bar:
        run_batch(source, store, pool, done)
    return faults


@contextmanager
def _stoppable(store: Store) -> Iterator[None]:
    """End with a sentence where the user stops it, or the disk is full."""
    try:
        yield
    except KeyboardInterrupt:
        said = f"{len(store.missing())} of {len(store.shards)} parts are missing"
        say(f"stopped; {said}, and the same command goes on with them", err=True)
        click.get_current_context().exit(_INTERRUPTED)
    except (OcrhpiError, BrokenPipeError):
        raise
    except OSError as error:
        raise click.ClickException(f"{error.filename or store.folder}: {error.strerror or error}") from error
