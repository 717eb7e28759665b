"""The report: Markdown for people, and JSON with every sample; written anew after each step."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.gpu_check.measuring import BATCHES, PARTS
from benchmarks.gpu_check.ways import EAGER, GRAPHS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from benchmarks.gpu_check.measuring import Result
    from benchmarks.gpu_check.steps import Line

__all__ = ["Report"]

_SCHEMA = 1
_NONE = "-"
_ONE, _MANY = PARTS
_METHOD = """\
Every way runs in a process of its own, one after the other. *lines/s*: {lines} lines of the shipped calibration set,
from images to texts, all in one call, at batch sizes of {batches}; median of the passes after a warm-up, and in
brackets how many times as fast as the baseline at that batch size. *engine*: milliseconds per line of the engine alone,
lines of the base width. *new width*: milliseconds of the first call with a line of a width not seen before, and of the
second; the worst of the widths tried. *one line*: milliseconds from image to text, one line of the base width, and how
many times the engine's own time on the device that is. *copies*: share of a call of the engine, {parts} lines, that is
gone when inputs and outputs stay on the device. *texts*: equal to the baseline's. Ways are not interleaved, and a GPU's
clock falls as it heats up: differences of a few percent prove nothing."""


@dataclass
class Report:
    """Everything that was found out.

    Attributes:
        directory: Where it is written.
        device: Device of all ways.
        lines: How many lines were read.
        baseline: Name of the way that others are compared with.
        facts: What the machine is.
        results: The ways on the models.
        steps: All other steps.
    """

    directory: Path
    device: str
    lines: int
    baseline: str
    facts: dict[str, Any] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    steps: list[Line] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether anything was measured, or nothing should have been, and no step failed."""
        read = any(result.texts for result in self.results) or not self.results
        return read and all(step.good for step in self.steps)

    def write(self) -> None:
        """Write ``report.json`` and ``report.md``."""
        content = {
            "schema": _SCHEMA,
            "device": self.device,
            "baseline": self.baseline,
            "facts": self.facts,
            "steps": [asdict(step) for step in self.steps],
            "results": [asdict(result) for result in self.results],
        }
        (self.directory / "report.json").write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")
        (self.directory / "report.md").write_text(self.markdown(), "utf-8")

    def markdown(self) -> str:
        """Return the report for people."""
        method = _METHOD.format(lines=self.lines, batches=", ".join(map(str, BATCHES)), parts=_MANY)
        parts = [
            f"# GPU check on {self.device}",
            self._machine(),
            "\n".join(f"- {step.step}: {'' if step.good else 'FAILED: '}{step.text}" for step in self.steps),
            f"Baseline: {self.baseline}. {method}",
            *(self._model(name) for name in dict.fromkeys(result.model for result in self.results)),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _machine(self) -> str:
        if not self.facts:
            return ""
        machine = self.facts["machine"]
        versions = {**self.facts["engines"], **self.facts["gpu_packages"]}
        lines = [
            f"ocrhpi {self.facts['ocrhpi']}, Python {self.facts['python']}, {self.facts['created']}",
            f"GPUs: {', '.join(machine['gpus']) or 'none'}; driver {machine['gpu_driver'] or 'unknown'}",
            f"CPU: {machine['cpu']}, {machine['usable_cores']} cores",
            f"Packages: {', '.join(f'{name} {version}' for name, version in versions.items() if version)}",
            *(f"nvidia-smi: {line}" for line in self.facts["nvidia-smi"]),
            *(f"wheel {line}" for line in self.facts["wheels"]),
        ]
        return "\n".join(f"- {line}" for line in lines)

    def _model(self, name: str) -> str:
        results = [result for result in self.results if result.model == name]
        measured = [result for result in results if result.passes_ms]
        baseline = next((result for result in measured if result.way == self.baseline), None)
        failures = [f"- {result.way}: {result.reason}" for result in results if result.reason]
        parts = [
            f"## {name}",
            _table(_HEAD, [_row(result, baseline) for result in measured]) if measured else "",
            _launches(measured),
            "\n".join(["Not measured, or not wholly:", "", *failures]) if failures else "",
        ]
        return "\n\n".join(part for part in parts if part)


_HEAD = (
    "way",
    *(f"lines/s, batch {batch}" for batch in BATCHES),
    *(f"engine, batch {batch}" for batch in BATCHES),
    *("new width", "one line", "copies", "texts", "load s", "ran as"),
)


def _row(result: Result, baseline: Result | None) -> list[str]:
    return [
        result.way,
        *(_rate(result, baseline, batch) for batch in BATCHES),
        *(_median(result.engine_ms.get(batch), 3) for batch in BATCHES),
        _new_width(result),
        _one_line(result),
        _copies(result),
        _NONE if result.texts_equal is None else f"{result.texts_equal} of {len(result.texts)}",
        _NONE if result.load_s is None else f"{result.load_s:.1f}",
        _ran_as(result),
    ]


def _rate(result: Result, baseline: Result | None, batch: int) -> str:
    passes = result.passes_ms.get(batch)
    if not passes:
        return _NONE
    ms = statistics.median(passes)
    compared = baseline.passes_ms.get(batch) if baseline is not None and baseline is not result else None
    return f"{1e3 / ms:.0f}" + (f" ({statistics.median(compared) / ms:.2f}x)" if compared else "")


def _new_width(result: Result) -> str:
    if not result.new_widths_ms:
        return _NONE
    first, again = max(result.new_widths_ms)
    return f"{first:.1f}, {again:.1f}"


def _one_line(result: Result) -> str:
    parts = result.parts_ms.get(_ONE, {})
    if "read" not in parts:
        return _NONE
    medians = {part: statistics.median(times) for part, times in parts.items()}
    compared = f", {medians['read'] / medians['device']:.2f}x" if "device" in medians else ""
    return f"{medians['read']:.2f}{compared}"


def _copies(result: Result) -> str:
    parts = result.parts_ms.get(_MANY, {})
    if "device" not in parts:
        return _NONE
    call, device = (statistics.median(parts[part]) for part in ("call", "device"))
    return f"{max(0.0, 1 - device / call):.0%} of {call:.2f} ms"


def _launches(results: Iterable[Result]) -> str:
    """Say what recording the launches saves, where the two ways that differ in it alone were measured."""
    parts = {result.way: result.parts_ms.get(_MANY, {}).get("device") for result in results}
    with_launches, without = parts.get(EAGER), parts.get(GRAPHS)
    if not with_launches or not without:
        return ""
    eager, graphs = statistics.median(with_launches), statistics.median(without)
    share = max(0.0, 1 - graphs / eager)
    return f"Launches: {share:.0%} of {eager:.2f} ms on the device, {_MANY} lines, are gone with CUDA graphs."


def _ran_as(result: Result) -> str:
    effective = result.effective or {}
    placed = effective.get("settings", {}).get("nodes", {}).items()
    nodes = ", ".join(f"{count} {provider.removesuffix('ExecutionProvider')}" for provider, count in placed)
    return "; ".join(filter(None, [f"{effective.get('precision')} on {effective.get('device')}", nodes]))


def _median(values: Sequence[float] | None, digits: int) -> str:
    return f"{statistics.median(values):.{digits}f}" if values else _NONE


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
