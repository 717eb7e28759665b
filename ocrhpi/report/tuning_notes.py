"""What stands around the table of a tuning: where it was made, why the winner won, and why the others did not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ocrhpi.config.candidate import Verified
from ocrhpi.report.formatting import beside_the_cpu, percent, plain, times
from ocrhpi.report.tuning_figures import lines_read, part_of_key
from ocrhpi.tuning.gate import next_policy_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rich.console import RenderableType

    from ocrhpi.report.tuning_figures import Figures
    from ocrhpi.tuning.cache import Tuning

_FEW_NAMES = 2  # of those that failed, or were skipped, for one reason
_FINGERPRINT = 16  # characters that tell models apart, as in the names of files


def title(tuning: Tuning) -> RenderableType:
    """Return the model, and what was asked."""
    asked = tuning.objective
    parts = [
        f"{tuning.model.name} on {tuning.key.get('device') or 'any device'}",
        asked.goal,
        f"accuracy {asked.accuracy}",
        f"at most {asked.max_latency_ms:g} ms a line" if asked.max_latency_ms else "",
        f"at most {asked.max_memory_mib:g} MiB" if asked.max_memory_mib else "",
        f"{asked.threads} threads" if asked.threads else "",
    ]
    return Text(plain(", ".join(filter(None, parts))), style="bold")


def origin(tuning: Tuning) -> RenderableType:
    """Return the model, the machine and the versions that the tuning was made with."""
    machine, versions = part_of_key(tuning, "machine"), part_of_key(tuning, "versions")
    engines = [f"{name} {version}" for name, version in part_of_key(tuning, "engines").items() if version]
    facts = {
        "made": tuning.created,
        "model": f"{tuning.model.name}, {tuning.model.path} (fingerprint {tuning.model.fingerprint[:_FINGERPRINT]})",
        "machine": ", ".join(_machine(machine)),
        "engines": ", ".join(engines),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    return _facts(facts)


def legend(figures: Iterable[Figures]) -> Iterator[RenderableType]:
    """Yield what the marks in the table mean, of those that are there."""
    shown = [one for one in figures if one.row.outcome == "measured"]
    if any(one.left_early for one in shown):
        yield Text("~ from screening alone: it left before the rounds", style="dim")
    if any(one.place is None for one in shown):
        yield Text("x measured, but may not run", style="dim")


def refused(figures: Iterable[Figures], *, evidence: bool) -> Iterator[RenderableType]:
    """Yield what may not run, and why; what has the reason in common stands together.

    Args:
        figures: The rows.
        evidence: Whether to name all of them; else a few of each reason.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for one in figures:
        if one.place is None:
            outcome = "may not run" if one.row.outcome == "measured" else one.row.outcome
            label = f"{outcome}, which may pass" if one.row.passing else outcome
            groups.setdefault((label, plain(one.refusal)), []).append(plain(one.row.candidate.name))
    for (label, reason), names in groups.items():
        few = names if evidence else names[:_FEW_NAMES]
        more = f" and {len(names) - len(few)} more" if len(few) < len(names) else ""
        yield Text.assemble((f"{label}: ", "yellow"), ", ".join(map(repr, few)), more)
        yield _indented(Text(reason))


def remarks(figures: Iterable[Figures]) -> Iterator[RenderableType]:
    """Yield what is to be known of candidates although it decides nothing."""
    for one in figures:
        for remark in one.row.remarks:
            yield Text.assemble(("remark: ", "yellow"), repr(plain(one.row.candidate.name)))
            yield _indented(Text(plain(remark)))
    apart = max((one.row.gate.apart for one in figures if one.row.gate), default=0)
    if apart:
        yield Text(f"{apart} lines whose text the model's vocabulary cannot spell were read, and decide nothing")


def changed_texts(figures: Iterable[Figures]) -> Iterator[RenderableType]:
    """Yield examples of the lines that candidates read differently, grouped by candidate."""
    for one in figures:
        gate = one.row.gate
        if gate is None or not gate.changed:
            continue
        yield Text.assemble(
            (f"{gate.changed} of {gate.lines} texts changed: ", "yellow"), repr(plain(one.row.candidate.name))
        )
        examples = Table.grid(padding=(0, 2, 0, 0))
        for change in gate.examples:
            examples.add_row(*map(Text, (plain(change.line), repr(change.expected), "became", repr(change.read))))
        yield _indented(examples)


def read_again(figures: Iterable[Figures]) -> Iterator[RenderableType]:
    """Yield of each pair that verifies how much it read twice, and how far the first reading went astray."""
    for one in figures:
        pair = one.row.candidate
        if not isinstance(pair, Verified) or pair.read_again is None or pair.largest_change is None:
            continue
        yield Text.assemble((f"{percent(pair.read_again)} read again: ", "yellow"), repr(plain(pair.name)))
        changed = f"changed texts had margins up to {pair.largest_change:.3g}, lines within {pair.threshold:.3g}"
        yield _indented(Text(f"{changed} are read again; it pays for up to {percent(pair.break_even)}"))


def what_runs(tuning: Tuning) -> Iterator[RenderableType]:
    """Yield what the engine of the winner said after loading, and what runs in its place if it cannot be loaded."""
    rows, order = tuning.rows, tuning.choice.order
    effective = dict(rows[tuning.choice.winner].effective or {})
    notes = effective.pop("notes", None)
    if effective:
        yield Text.assemble(
            ("runs: ", "bold"), "; ".join(f"{name} {_said(value)}" for name, value in effective.items())
        )
    for note in notes if isinstance(notes, list | tuple) else ():
        yield _indented(Text(plain(str(note))))
    names = [repr(plain(rows[number].candidate.name)) for number in order if number != tuning.choice.winner]
    if names:
        yield Text.assemble(("if that fails: ", "bold"), ", then ".join(names))


def conclusion(tuning: Tuning, path: Path | str | None, *, evidence: bool) -> Iterator[RenderableType]:
    """Yield why the winner won, how sure that is, what a more relaxed policy gives, and how all that was measured."""
    choice = tuning.choice
    yield Text.assemble(("why: ", "bold"), plain(choice.reason))
    if not choice.decided:
        yield Text("not decided: the noise of the machine, or too few rounds, leave open which is best", style="yellow")
    if tuning.provisional:
        yield Text("provisional: measured again the next time, since what was rejected may run then", style="yellow")
    yield from _looser(tuning, evidence=evidence)
    load = tuning.load
    loads = f"; load of the machine {load[0]:.1f} before, {load[1]:.1f} at the end" if load else ""
    quick = "; a quick look: 'ocrhpi tune' measures thoroughly" if tuning.quick else ""
    yield Text(f"measured in {tuning.seconds:.0f} s on {lines_read(tuning)} lines{loads}{quick}", style="dim")
    if path is not None:
        yield Text(f"file: {path}", no_wrap=True, overflow="ignore")  # so that it can be copied


def _looser(tuning: Tuning, *, evidence: bool) -> Iterator[RenderableType]:
    relaxed, next_policy = tuning.choice.next_policy, next_policy_of(tuning.objective.accuracy)
    if relaxed is not None:
        name = plain(tuning.rows[relaxed.row].candidate.name)
        text = f"{name!r} would win, {times(relaxed.gain)} as fast as the winner"
        yield Text.assemble((f"with accuracy {relaxed.accuracy}: ", "bold"), text)
    elif evidence and next_policy is not None:
        yield Text.assemble(
            (f"with accuracy {next_policy}: ", "bold"), "nothing is proved to be faster than the winner"
        )


def _machine(machine: dict[str, Any]) -> Iterator[str]:
    """Yield what is known of the machine; a file of another version may know other things."""
    yield str(machine.get("cpu") or "unknown CPU")
    yield from beside_the_cpu(machine)


def _said(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_said(item)}" for name, item in value.items()) + "}"
    return plain(str(value))


def _facts(facts: dict[str, str]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, fact in facts.items():
        if fact:
            table.add_row(Text(name, style="bold"), Text(plain(fact)))
    return table


def _indented(content: RenderableType) -> RenderableType:
    return Padding(content, (0, 0, 0, 2))
