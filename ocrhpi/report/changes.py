"""A comparison of two runs as Markdown that is readable in a terminal, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrhpi.bench.rows import MODES
from ocrhpi.report.formatting import MISSING, NO_DIFFERENCE, interval, number
from ocrhpi.report.markdown import escaped, markdown_table
from ocrhpi.report.summary import HIGH_PERFORMANCE
from ocrhpi.tuning.choose import MARGIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocrhpi.report.compare import Change, Comparison, Measure

_VERDICTS = {"faster": "faster", "slower": "SLOWER", "none": NO_DIFFERENCE, "open": "too few rounds to tell"}


def as_text(comparison: Comparison, before: str, after: str) -> str:
    """Return the comparison.

    Args:
        comparison: Of two runs.
        before: What the first is called.
        after: What the second is called.
    """
    return "\n\n".join(_parts(comparison, before, after)) + "\n"


def _parts(comparison: Comparison, before: str, after: str) -> Iterator[str]:
    yield f"# {escaped(before)} to {escaped(after)}"
    if comparison.warnings:
        yield "\n".join(f"- warning: {escaped(text)}" for text in comparison.warnings)
    titles = ("Model", "Mode", "Verdict", "Engine (ms)", "Is x times as fast", "End to end (ms)", "Is x times as fast")
    if comparison.changes:
        yield markdown_table(titles, map(_row, comparison.changes), left=3)
        yield (
            "Milliseconds per line, medians; in brackets the bootstrap 95 % interval of their ratio. Faster or slower: "
            f"the whole interval lies more than {100 * MARGIN:g} % away from 1."
        )
    else:
        yield "No model was measured in both runs."
    remarks = [
        *(f"only in the first run: {name}" for name in comparison.only_before),
        *(f"only in the second run: {name}" for name in comparison.only_after),
        *comparison.remarks,
        *(f"{change.model}, {MODES[change.mode]}: {change.reason}" for change in comparison.changes if change.reason),
    ]
    if remarks:
        yield "\n".join(f"- {escaped(text)}" for text in remarks)
    yield _conclusion(comparison)


def _row(change: Change) -> tuple[str, ...]:
    return (
        escaped(change.model),
        MODES[change.mode],
        _verdict(change),
        _times(change.engine),
        _ratio(change.engine),
        _times(change.lines),
        _ratio(change.lines),
    )


def _verdict(change: Change) -> str:
    if change.reason:
        return "NO TIMES ANY MORE"
    engine, lines = change.engine.verdict, change.lines.verdict
    if engine == lines or change.lines.ratio is None:
        return _VERDICTS[engine]
    if change.engine.ratio is None:
        return _VERDICTS[lines]
    return f"engine {_VERDICTS[engine]}; end to end {_VERDICTS[lines]}"


def _times(measure: Measure) -> str:
    if measure.before_ms is None and measure.after_ms is None:
        return MISSING
    return f"{number(measure.before_ms)} -> {number(measure.after_ms)}"


def _ratio(measure: Measure) -> str:
    return MISSING if measure.ratio is None else f"{measure.ratio.median:.2f} ({interval(measure.ratio)})"


def _conclusion(comparison: Comparison) -> str:
    high = [change for change in comparison.changes if change.mode == HIGH_PERFORMANCE]
    slower = [change.model for change in comparison.slower]
    if slower:
        return f"High-performance mode got slower, or runs no more: {', '.join(map(escaped, slower))}."
    return f"High-performance mode got slower beyond noise in none of {len(high)} models."
