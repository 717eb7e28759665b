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
from benchmarks.peers.report import Results, write_report
from benchmarks.peers.starter import Starter
from benchmarks.peers.systems import Setting, System, choose_systems
from benchmarks.peers.trials import MEASURES, Plan, Record, Trials, first_fp32_texts, keep_best
from ocrhpi.machine import usable_cores

if TYPE_CHECKING:
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
@click.option("--threads", type=click.IntRange(1), default=usable_cores, show_default="usable cores")
@click.option("--timeout", default=900.0, show_default=True, help="Seconds that a worker may take for one request.")
@click.option("--seed", default=0, show_default=True, help="Of the order in a round and of rendered lines.")
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
    plan = Plan(
        measures=options["measures"],
        batches=tuple(sorted({1, *options["batch_sizes"]})),
        rounds=options["rounds"],
        first_rounds=options["first_rounds"],
        seed=options["seed"],
    )
    trials = Trials(_starter(model, systems, output, options), plan)
    records, chosen, (source, reference) = _run(trials, systems, lines)
    facts = _facts(model, lines, trials)
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


def _starter(model: Model, systems: list[System], output: Path, options: dict[str, Any]) -> Starter:
    interpreters: dict[bool, Path | str] = {True: Path(sys.executable)}
    if not all(system.ours for system in systems):
        try:
            interpreters[False] = ensure_peer_venv((options["venv"] or output / "peer-venv").absolute())
        except PeerVenvError as error:
            interpreters[False] = f"the peers' environment could not be made: {error}"
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
    trials: Trials, systems: list[System], lines: Lines
) -> tuple[list[Record], list[Record], tuple[str, list[str]]]:
    """Return all records, those with a row, and the reference with its source."""
    plan = trials.plan
    if "throughput" in plan.measures:
        records = trials.probe(systems)
        reference = _reference(lines, records)
        groups = [[record for record in records if record.setting.system is system] for system in systems]
        chosen = [record for group in groups for record in keep_best(group, reference[1])]
    else:
        trials.export(systems)
        batches = plan.batches if "first" in plan.measures else (1,)
        records = chosen = [Record(Setting(system, batch)) for system in systems for batch in batches]
    if plan.measures != ("first",):
        trials.rounds(chosen)
    if "first" in plan.measures:
        trials.first_passes(chosen)
    return records, chosen, _reference(lines, records)


def _reference(lines: Lines, records: list[Record]) -> tuple[str, list[str]]:
    if lines.reference:
        return "the label file", lines.labels
    found = first_fp32_texts(records)
    if found is None:
        raise click.ClickException(
            "no FP32 system read the lines at batch 1, and the labels are not this model's: "
            + "; ".join(sorted({str(record.failure) for record in records if record.failure}))
        )
    return f"what {found[0]} reads", found[1]


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
