"""Under which conditions a benchmark ran, and how to run it again."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ocrhpi.catalog import official_models
from ocrhpi.report.formatting import beside_the_cpu

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ocrhpi.bench.rows import BenchRow
    from ocrhpi.report.bench_figures import ModelFigures


@dataclass(frozen=True)
class Conditions:
    """Models that were measured alike.

    Attributes:
        models: Their names.
        facts: What -> how it was, in words: machine, device, threads, versions and more.
        commands: What measures them again, line by line of a shell.
    """

    models: tuple[str, ...]
    facts: dict[str, str]
    commands: tuple[str, ...]


def conditions_of(models: Sequence[ModelFigures]) -> list[Conditions]:
    """Return the conditions of the models that were measured; one, unless they were not all measured alike."""
    groups: dict[tuple[str, ...], list[ModelFigures]] = {}
    for model in models:
        if model.is_measured:
            groups.setdefault(_likeness(model), []).append(model)
    if len(groups) == 1:
        return [_conditions(group, models) for group in groups.values()]
    return [_conditions(group, group) for group in groups.values()]


def machine_words(machine: Mapping[str, Any]) -> str:
    """Return a machine in words; a file of another version may know other things about it."""
    return ", ".join(_machine(machine)) or "unknown"


def version_words(versions: Mapping[str, Any]) -> str:
    """Return the versions of ocrhpi and of the engines that are installed."""
    return ", ".join(f"{name} {version}" for name, version in versions.items() if version) or "unknown"


def _likeness(model: ModelFigures) -> tuple[str, ...]:
    row = model.row
    threads = "" if row.threads is None else str(row.threads)
    batch = str(row.batch_size)
    return (machine_words(row.machine), version_words(row.versions), row.device, threads, row.calibration, batch)


def _conditions(group: Sequence[ModelFigures], again: Sequence[ModelFigures]) -> Conditions:
    """Return the conditions of models that are alike, with the commands that measure ``again``."""
    row = group[0].row
    days = sorted({model.row.created[:10] for model in group})
    facts = {
        "machine": machine_words(row.machine),
        "device": row.device,
        "CPU threads": _threads(group),
        "versions": version_words(row.versions),
        "lines in a call of the engine alone": str(row.batch_size) if row.batch_size > 1 else "",
        "rounds": _rounds(group),
        "load of the machine": _load(group),
        "calibration lines": f"{row.calibration} (the user's own)" if row.calibration else "",
        "high-performance mode": "; of other models ".join(dict.fromkeys(filter(None, map(_tuned, group)))),
        "measured": " to ".join(dict.fromkeys((days[0], days[-1]))),
    }
    known = {name: fact for name, fact in facts.items() if fact}
    return Conditions(tuple(model.name for model in group), known, tuple(_commands(again, row)))


def _threads(group: Sequence[ModelFigures]) -> str:
    asked = group[0].row.threads
    ran = sorted({mode.threads for model in group for mode in model.modes.values() if mode.threads})
    words = f"{', '.join(map(str, ran))} in the engines" if ran else ""
    wanted = "as many as there are usable cores" if asked is None else f"{asked} asked for"
    return f"{words} ({wanted})" if words else wanted


def _rounds(group: Sequence[ModelFigures]) -> str:
    rounds = {len(mode.result.engine_ms) for model in group for mode in model.modes.values() if mode.result.engine_ms}
    if not rounds:
        return ""
    return str(max(rounds)) if len(rounds) == 1 else f"{min(rounds)} to {max(rounds)}"


def _load(group: Sequence[ModelFigures]) -> str:
    loads = [model.row.load for model in group if model.row.load]
    if not loads:
        return ""
    words = []
    for when, values in (("before", [load[0] for load in loads]), ("at the end", [load[1] for load in loads])):
        low, high = f"{min(values):.1f}", f"{max(values):.1f}"
        words.append(f"{when} {low}" if low == high else f"{when} {low} to {high}")
    return f"busy processes in the minute {' and '.join(words)} of each model"


def _tuned(model: ModelFigures) -> str:
    tuning = model.row.tuning
    if tuning is None:
        return ""
    asked = tuning.objective
    bounds = (
        f", at most {asked.max_latency_ms:g} ms a line" if asked.max_latency_ms else "",
        f", at most {asked.max_memory_mib:g} MiB" if asked.max_memory_mib else "",
    )
    budget = f" within {model.row.budget_s:g} s" if model.row.budget_s else ""
    limit = f", candidates of {model.row.precision} alone" if model.row.precision else ""
    return f"tuned for {asked.goal}{budget}, accuracy {asked.accuracy}{''.join(bounds)}{limit}"


def _commands(models: Sequence[ModelFigures], row: BenchRow) -> Iterator[str]:
    for model in models:
        if model.row.weights == "reference":
            name = shlex.quote(model.name)
            yield f"python -m benchmarks.reference_models {name} -o {shlex.quote(f'models/{model.name}')}"
    alike: dict[tuple[float | None, str], list[ModelFigures]] = {}
    for model in models:
        alike.setdefault((model.row.budget_s, model.row.precision), []).append(model)
    for (budget, precision), part in alike.items():
        yield " ".join(_bench_command(part, row, budget, precision))
    yield "ocrhpi report results"


def _bench_command(
    models: Sequence[ModelFigures], row: BenchRow, budget: float | None, precision: str
) -> Iterator[str]:
    """Yield the words of the command that measures models of one budget and precision."""
    names = [model.name for model in models]
    yield from ["ocrhpi bench", *(["all"] if set(names) >= set(official_models()) else map(shlex.quote, names))]
    if any(model.row.weights != "official" for model in models):
        yield "--models models"
    if row.device:
        yield f"--device {shlex.quote(row.device)}"
    if row.threads:
        yield f"--threads {row.threads}"
    if row.batch_size > 1:
        yield f"--batch_size {row.batch_size}"
    rounds = max((len(mode.result.engine_ms) for model in models for mode in model.modes.values()), default=0)
    if rounds:
        yield f"--rounds {rounds}"
    if budget:
        yield f"--budget {budget:g}"
    if precision:
        yield f"--precision {shlex.quote(precision)}"
    asked = {model.row.tuning.objective.accuracy for model in models if model.row.tuning}
    if len(asked) == 1 and asked != {"identical"}:
        yield f"--accuracy {shlex.quote(asked.pop())}"
    own_lines = {model.row.calibration for model in models} - {""}
    if len(own_lines) == 1:
        yield f"--calibration_dir {shlex.quote(own_lines.pop())}"
    yield "-o results"


def _machine(machine: Mapping[str, Any]) -> Iterator[str]:
    flags = machine.get("cpu_flags")
    if machine.get("cpu"):
        yield str(machine["cpu"])
    if isinstance(flags, list) and flags:
        yield " ".join(map(str, flags))
    yield from beside_the_cpu(machine)
