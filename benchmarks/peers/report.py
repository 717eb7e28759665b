"""The report: Markdown tables for people, and JSON with every sample."""

from __future__ import annotations

import json
import os
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers.comparison import FIRST_PASS, STREAM, THROUGHPUT, Demand, best, compare
from ocrhpi.measuring.statistic import paired_ratio

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.peers.comparison import Comparison, Measure
    from benchmarks.peers.records import Record

SCHEMA = 1
_NONE = "-"
_METHOD = """\
All systems get the same BGR arrays, decoded once and already in memory. Every setting is a process of its own; in a
round each is timed once, in random order, while the others are stopped. lines/s: all lines in one call, median of the
rounds. ms/line: one line a call, median (90th percentile) of all lines and rounds. Texts equal: the worst pass counts.
Peak memory: resident set of the process. Ratios: median of the ratios within a round, bootstrap 95 % interval."""
_BATCHES = "Batch sizes: the fastest in a trial, the fastest of those that read every text, and 1. "
_STREAM = """\
The lines come again and again, stretched in width by random factors, so that nearly every width that is wider than the
model's base width is new. All processes live over all rounds, and each round is a later part of the stream: the first
one holds the first sight of shapes, so it stands apart. Ratios are of all rounds."""
_NOT_JSON = {"setting", "readings", "probe_readings", "stream_readings"}
_AGAINST = "against best peer with every text"


@dataclass(frozen=True)
class Results:
    """Everything that was found out.

    Attributes:
        facts: Model, lines, threads, machine, plan: plain values, kept as they are.
        records: What was measured, in the order of the table.
        chosen: Those of ``records`` that have a row; the others were only probed.
        reference: The texts to be read.
        reference_source: Where they come from.
    """

    facts: dict[str, Any]
    records: Sequence[Record]
    chosen: Sequence[Record]
    reference: list[str]
    reference_source: str

    @property
    def comparisons(self) -> list[Comparison]:
        """The ratios that are asked for."""
        return compare(self.chosen, self.reference)


def write_report(results: Results, directory: Path) -> None:
    """Write ``report.md`` and ``report.json``."""
    text = markdown(results).replace(f"{directory}{os.sep}", "")  # where on this machine does not matter
    (directory / "report.md").write_text(text, encoding="utf-8")
    text = json.dumps(as_json(results), ensure_ascii=False, indent=1, default=str)
    (directory / "report.json").write_text(text + "\n", encoding="utf-8")


def as_json(results: Results) -> dict[str, Any]:
    """Return all of it as plain values."""
    reference = results.reference
    return {
        "schema": SCHEMA,
        **results.facts,
        "reference": {"source": results.reference_source, "texts": reference},
        "comparisons": [comparison.as_json() for comparison in results.comparisons],
        "records": [
            {
                **{key: value for key, value in vars(record).items() if key not in _NOT_JSON},
                "setting": record.setting.describe(),
                "has_row": any(record is chosen for chosen in results.chosen),
                "texts_equal": record.equal_texts(reference),
                "different_readings": len(record.readings),
                "texts_changed": _changed(record, reference),
            }
            for record in results.records
        ],
    }


def markdown(results: Results) -> str:
    """Return the report for people."""
    facts = results.facts
    batches = _BATCHES if {"throughput", "stream"} & set(facts["plan"]["measures"]) else ""
    parts = [
        f"# {facts['model']['name']}: {facts['lines']['title']}, {facts['threads']} threads",
        f"{_METHOD}\n{batches}Reference: {results.reference_source}.",
        _machine(facts),
        "\n".join(f"- {comparison}" for comparison in results.comparisons),
    ]
    if any(record.throughput_s or record.latency_ms for record in results.chosen):
        parts += ["## Warm", _warm_table(results)]
    if any(record.first_s for record in results.chosen):
        widths = facts["lines"]["padded_widths"]
        parts += [f"## First pass of a fresh process, {widths} different widths", _first_table(results)]
    if any(record.stream_s for record in results.chosen):
        parts += [_stream_head(facts), _stream_table(results)]
    parts += [f"## Not measured\n\n{failed}" for failed in [_failures(results.records)] if failed]
    return "\n\n".join([*parts, f"## What ran\n\n{_what_ran(results.chosen)}"]) + "\n"


def _warm_table(results: Results) -> str:
    head = ("system, batch", "lines/s", _AGAINST, "ms/line", "texts equal")
    rows = [
        (
            record.setting.name,
            _rate(record.throughput_s, len(results.reference)),
            _against_best_peer(record, results, THROUGHPUT),
            _line_ms(record),
            f"{record.equal_texts(results.reference)} of {len(results.reference)}",
            _whole(record.peak_mib),
            record.precision,
        )
        for record in results.chosen
        if not record.failure and (record.throughput_s or record.latency_ms)
    ]
    return _table((*head, "peak MiB", "precision"), rows)


def _first_table(results: Results) -> str:
    head = ("system, batch", "lines/s", _AGAINST, "texts equal", "peak MiB", "precision")
    rows = [
        (
            record.setting.name,
            _rate(record.first_s, len(results.reference)),
            _against_best_peer(record, results, FIRST_PASS),
            f"{record.equal_texts(results.reference)} of {len(results.reference)}",
            _whole(record.first_peak_mib),
            record.precision,
        )
        for record in results.chosen
        if not record.failure and record.first_s
    ]
    return _table(head, rows)


def _stream_head(facts: dict[str, Any]) -> str:
    plan, stream = facts["plan"], facts["stream"]
    size = f"{plan['stream_rounds']} rounds of {plan['stream_lines']} lines, {stream['padded_widths']} different widths"
    reference = f"Reference: {stream['reference']}." if stream["reference"] else "No FP32 system is the reference."
    batches = "chosen on warm lines" if "throughput" in plan["measures"] else "tried on parts that no round reads"
    return f"## Stream: {size}\n\n{_STREAM} {plan['stream_call']} lines a call; batch sizes {batches}. {reference}"


def _stream_table(results: Results) -> str:
    head = ("system, batch", "lines/s, first round", "lines/s, later rounds", _AGAINST, "texts equal")
    lines = results.facts["plan"]["stream_lines"]
    rows = [
        (
            record.setting.name,
            _rate(record.stream_s[:1], lines),
            _rate(record.stream_s[1:], lines),
            _against_best_peer(record, results, STREAM),
            _share(sum(record.stream_texts), record.stream_lines) if record.stream_texts else _NONE,
            _whole(record.stream_peak_mib),
            record.precision,
        )
        for record in results.chosen
        if not record.failure and record.stream_s
    ]
    return _table((*head, "peak MiB", "precision"), rows)


def _against_best_peer(record: Record, results: Results, measure: Measure) -> str:
    peer = best(results.chosen, measure, results.reference, Demand(every_text=True), ours=False)
    if peer is None or not measure.samples(record):
        return _NONE
    return "1" if record is peer else str(paired_ratio(measure.samples(peer), measure.samples(record)))


def _failures(records: Sequence[Record]) -> str:
    failures: dict[str, list[str]] = {}
    for record in records:
        if record.failure:
            failures.setdefault(f"{record.setting.system.name}: {record.failure}", []).append(str(record.setting.batch))
    return "\n".join(f"- {failure} (batch {', '.join(batches)})" for failure, batches in failures.items())


def _what_ran(records: Sequence[Record]) -> str:
    lines = []
    for record in records:
        system, effective = record.setting.system, record.effective
        entry = f"- {system.name}: {', '.join(_plain(effective))}" + (f". {system.note}" if system.note else "")
        if effective and entry not in lines:
            lines.append(entry)
    return "\n".join(lines)


def _plain(effective: dict[str, Any]) -> list[str]:
    versions = [f"{name} {version}" for name, version in effective.get("versions", {}).items()]
    settings = [f"{name}={value}" for name, value in effective.get("settings", {}).items()]
    shown = [effective.get("precision", "precision unknown"), f"{effective.get('threads')} threads"]
    return [*shown, *settings, *versions, *effective.get("notes", [])]


def _machine(facts: dict[str, Any]) -> str:
    machine = facts["machine"]
    load = facts["load"]
    seen = f"load {min(load):.1f} to {max(load):.1f}" if load else "load not recorded"
    flags = " ".join(machine["cpu_flags"])
    cores = f"{machine['usable_cores']} of {machine['cores']} cores usable"
    return f"Machine: {machine['cpu']} ({flags}), {cores}, {machine['system']}, {seen}."


def _changed(record: Record, reference: list[str]) -> dict[int, list[str]]:
    """Return the lines whose text is not the reference in some reading, and what was read."""
    return {
        line: [texts[line] for texts in record.readings]
        for line, expected in enumerate(reference)
        if any(texts[line] != expected for texts in record.readings)
    }


def _rate(seconds: Sequence[float], lines: int) -> str:
    return f"{lines / statistics.median(seconds):.1f}" if seconds else _NONE


def _share(count: int, total: int) -> str:
    """Return a share that says 100 only where it is all."""
    return f"{count} of {total} ({10_000 * count // total / 100:.2f} %)"


def _line_ms(record: Record) -> str:
    if not record.latency_ms:
        return _NONE
    return "{:.2f} ({:.2f})".format(*np.percentile(record.latency_ms, [50, 90]))


def _whole(value: float | None) -> str:
    return _NONE if value is None else f"{value:.0f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
