"""``python -m benchmarks.peers``: see the package's docstring."""

from __future__ import annotations

import signal
import sys
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.peers.lines import Lines, lines_of_folder, rendered_lines
from benchmarks.peers.machine import describe_machine
from benchmarks.peers.model_files import find, prepare_model
from benchmarks.peers.peer_venv import PeerVenvError, ensure_peer_venv
from benchmarks.peers.records import Record, count_stream_texts, first_fp32, keep_best
from benchmarks.peers.report import Results, write_report
from benchmarks.peers.starter import Starter
from benchmarks.peers.stream import Stream
from benchmarks.peers.systems import System, choose_systems
from benchmarks.peers.trials import MEASURES, Plan, Trials
from ocrhpi.machine import usable_cores
from ocrhpi.measuring.stream import LineStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrhpi.model import Model

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("folder", type=_FOLDER, required=False)
@click.argument("labels", type=_FILE, required=False)
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--model", "model_name", default="PP-OCRv4_mobile_rec", show_default=True)
@click.option("--model_dir", type=click.Path(exists=True, path_type=Path), help="Instead of fetching it.")
@click.option("--rendered", type=click.IntRange(1), help="Time so many rendered lines in place of FOLDER.")
@click.option("--systems", multiple=True, help="Part of the name of systems to run; may be repeated. Default: all.")
@click.option("--measures", multiple=True, type=click.Choice(MEASURES), default=MEASURES, show_default=True)
@click.option("--batch_sizes", multiple=True, type=click.IntRange(1), default=Plan.batches, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=Plan.rounds, show_default=True)
@click.option("--first_rounds", type=click.IntRange(1), default=Plan.first_rounds, show_default=True)
@click.option("--stream_lines", type=click.IntRange(1), default=Plan.stream_lines, show_default=True, help="A round.")
@click.option("--stream_rounds", type=click.IntRange(1), default=Plan.stream_rounds, show_default=True)
@click.option(
    "--stream_call", type=click.IntRange(1), default=Plan.stream_call, show_default=True, help="Lines a call."
)
@click.option("--threads", type=click.IntRange(1), default=usable_cores, show_default="usable cores")
@click.option("--timeout", default=900.0, show_default=True, help="Seconds that a worker may take for one request.")
@click.option("--seed", default=0, show_default=True, help="Of the order in a round, rendered lines, the stream.")
@click.option("--venv", type=click.Path(file_okay=False, path_type=Path), help="The peers'. Default: in the output.")
def main(folder: Path | None, labels: Path | None, output: Path, **options: Any) -> None:  # noqa: ANN401 - click's
    """Time all systems on the lines of FOLDER that the tab-separated LABELS names (columns file, text)."""
    # Without this a terminated parent would leave stopped workers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    output = output.resolve()
    if not options["rendered"] and (folder is None or labels is None):
        raise click.UsageError("give FOLDER and LABELS, or --rendered N")
    try:
        systems = choose_systems(options["systems"])
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--systems") from error
    model = find(options["model_name"], options["model_dir"])
    lines = _lines(folder, labels, model.name, options)
    lines.save(output / "lines.npz")
    trials = Trials(_starter(model, systems, output, options), _plan(options))
    stream = Stream(LineStream(lines.images, seed=options["seed"]), output)
    records, chosen, (source, reference) = _run(trials, systems, lines, stream)
    facts = _facts(model, lines, trials)
    if "stream" in trials.plan.measures:
        widths = stream.padded_widths(trials.plan.stream_parts, model.spec)
        facts["stream"] = {"padded_widths": widths, "reference": count_stream_texts(chosen)}
    results = Results(facts, records, chosen, reference, source)
    write_report(results, output)
    print((output / "report.md").read_text("utf-8"))
    for comparison in results.comparisons:
        print(comparison)


def _lines(folder: Path | None, labels: Path | None, model_name: str, options: dict[str, Any]) -> Lines:
    if options["rendered"]:
        return rendered_lines(options["rendered"], options["seed"])
    assert folder is not None  # noqa: S101 - main() has checked
    assert labels is not None  # noqa: S101
    return lines_of_folder(folder, labels, model_name)


def _plan(options: dict[str, Any]) -> Plan:
    same = ("measures", "rounds", "first_rounds", "stream_lines", "stream_rounds", "stream_call", "seed")
    batches = tuple(sorted({1, *options["batch_sizes"]}))
    return Plan(batches=batches, **{name: options[name] for name in same})


def _starter(model: Model, systems: list[System], output: Path, options: dict[str, Any]) -> Starter:
    interpreters: dict[str, Path | str] = {"ours": Path(sys.executable)}
    venv = (options["venv"] or output / "peer-venv").absolute()
    for environment in {system.environment for system in systems} - {"ours"}:
        place = venv if environment == "peers" else venv.with_name(f"{venv.name}-{environment}")
        try:
            interpreters[environment] = ensure_peer_venv(place, environment)
        except PeerVenvError as error:
            interpreters[environment] = f"the peers' environment could not be made: {error}"
    return Starter(
        interpreters=interpreters,
        files=prepare_model(model, {system.files for system in systems}, output / "models"),
        lines=output / "lines.npz",
        logs=output / "logs",
        model_name=model.name,
        threads=options["threads"],
        timeout_s=options["timeout"],
    )


def _run(
    trials: Trials, systems: list[System], lines: Lines, stream: Stream
) -> tuple[list[Record], list[Record], tuple[str, list[str]]]:
    """Return all records, those with a row, and the reference with its source."""
    measures = set(trials.plan.measures)
    if "throughput" in measures:
        records = trials.probe(systems)
        reference = _reference(lines, records)[1]
        chosen = _best(systems, records, lambda record: record.reads_every_text(reference))
    elif "stream" in measures:
        records = trials.probe_stream(systems, stream)
        first = first_fp32(records, lambda record: record.probe_readings)
        expected = first.probe_readings if first else None
        chosen = _best(systems, records, lambda record: record.probe_readings == expected)
    else:
        trials.export(systems)
        settings = [setting for system in systems for setting in trials.plan.settings_of(system)]
        records = chosen = [Record(setting) for setting in settings if "first" in measures or setting.batch == 1]
    if measures & {"throughput", "latency"}:
        trials.rounds(chosen)
    if "stream" in measures:
        trials.stream(chosen, stream)
    if "first" in measures:
        trials.first_passes(chosen)
    if measures == {"stream"}:
        return records, chosen, ("none, the lines were read as a stream only", [])
    return records, chosen, _reference(lines, records)


def _best(systems: list[System], records: list[Record], every_text: Callable[[Record], bool]) -> list[Record]:
    groups = [[record for record in records if record.setting.system is system] for system in systems]
    return [record for group in groups for record in keep_best(group, every_text)]


def _reference(lines: Lines, records: list[Record]) -> tuple[str, list[str]]:
    if lines.reference:
        return "the label file", lines.labels
    found = first_fp32(records, lambda record: record.readings)
    if found is None:
        raise click.ClickException(
            "no FP32 system read the lines at batch 1, and the labels are not this model's: "
            + "; ".join(sorted({str(record.failure) for record in records if record.failure}))
        )
    return f"what {found.setting.name} reads", found.readings[0]


def _facts(model: Model, lines: Lines, trials: Trials) -> dict[str, Any]:
    return {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model": {"name": model.name, "fingerprint": model.fingerprint},
        "lines": {
            "title": lines.title,
            "padded_widths": lines.padded_widths(model.spec),
            "names": lines.names,
            "sizes": [[image.shape[1], image.shape[0]] for image in lines.images],
            "labels": lines.labels,
        },
        "threads": trials.starter.threads,
        "plan": asdict(trials.plan),
        "machine": describe_machine(),
        "load": trials.load,
    }


if __name__ == "__main__":
    main()
