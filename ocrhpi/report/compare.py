"""Two runs of a benchmark: what got faster or slower, beyond noise.

The runs share no rounds, so their times are not paired: the interval is that of the ratio of two medians, and both runs
are resampled. What differs by less than `ocrhpi.measuring.statistic.MARGIN` is no difference, since two runs of one and
the same thing differ by more than the rounds of each let expect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ocrhpi.bench.rows import HIGH_PERFORMANCE, MODES
from ocrhpi.measuring.statistic import MARGIN, Ratio, verdict
from ocrhpi.report.bench_figures import MISSING, NO_DIFFERENCE, figures_of, interval, number
from ocrhpi.report.conditions import machine_words, version_words
from ocrhpi.report.markdown import escaped, markdown_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ocrhpi.bench.rows import BenchRow, Mode
    from ocrhpi.measuring.statistic import Verdict
    from ocrhpi.report.bench_figures import ModelFigures

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


_RESAMPLES = 2000
_ENDS = (2.5, 97.5)


@dataclass(frozen=True)
class Measure:
    """One way of timing a mode, in both runs.

    Attributes:
        before_ms: Median of the first run; None without times.
        after_ms: Median of the second.
        ratio: How many times as fast as the first the second is; None if one of both has no times.
    """

    before_ms: float | None
    after_ms: float | None
    ratio: Ratio | None

    @property
    def verdict(self) -> Verdict:
        """What that proves."""
        return verdict(self.ratio, MARGIN)


@dataclass(frozen=True)
class Change:
    """One mode of one model.

    Attributes:
        model: Its name.
        mode: Which mode.
        engine: The engine alone.
        lines: From the image to the text.
        reason: Why the second run has no times where the first has; empty otherwise.
    """

    model: str
    mode: Mode
    engine: Measure
    lines: Measure
    reason: str = ""

    @property
    def is_slower(self) -> bool:
        """Whether one of both ways of timing got slower beyond noise, or it does not run any more."""
        return bool(self.reason) or "slower" in {self.engine.verdict, self.lines.verdict}


@dataclass(frozen=True)
class Comparison:
    """Two runs.

    Attributes:
        changes: Every mode that the first run has times of and the second knows, by model.
        only_before: Models that are in the first run alone.
        only_after: Models that are in the second run alone.
        warnings: What makes the runs hard to compare, as sentences.
        remarks: What else differs, as sentences.
    """

    changes: list[Change]
    only_before: list[str]
    only_after: list[str]
    warnings: list[str]
    remarks: list[str]

    @property
    def slower(self) -> list[Change]:
        """The high-performance modes that got slower beyond noise, or do not run any more."""
        return [change for change in self.changes if change.mode == HIGH_PERFORMANCE and change.is_slower]


def compare(before: Sequence[BenchRow], after: Sequence[BenchRow]) -> Comparison:
    """Compare two runs.

    Args:
        before: Rows of the first run.
        after: Rows of the second.
    """
    first = {model.name: model for model in figures_of(before)}
    second = {model.name: model for model in figures_of(after)}
    both = [(model, second[name]) for name, model in first.items() if name in second]
    return Comparison(
        changes=[change for one, other in both for change in _changes(one, other)],
        only_before=[name for name in first if name not in second],
        only_after=[name for name in second if name not in first],
        warnings=_gathered(both, _warnings),
        remarks=[*_gathered(both, _remarks), *_never_measured(both)],
    )


def unpaired_ratio(numerators: Sequence[float], denominators: Sequence[float], seed: int = 0) -> Ratio:
    """Return the ratio of the medians of two systems that were timed apart.

    The interval is its percentile bootstrap: the times of both are drawn with replacement, 2000 times.

    Args:
        numerators: Times of the one.
        denominators: Times of the other; none is 0.
        seed: Of the draws; equal samples have equal intervals.

    Returns:
        The ratio; its ``rounds`` are those of the shorter one.

    Raises:
        ValueError: One of both has no times.
    """
    if not numerators or not denominators:
        raise ValueError("a ratio needs times of both")
    rng = np.random.default_rng(seed)
    above, below = (
        np.median(rng.choice(np.array(times), (_RESAMPLES, len(times))), axis=1) for times in (numerators, denominators)
    )
    low, high = np.percentile(above / below, _ENDS)
    median = float(np.median(numerators) / np.median(denominators))
    return Ratio(median=median, low=float(low), high=float(high), rounds=min(len(numerators), len(denominators)))


def _changes(before: ModelFigures, after: ModelFigures) -> Iterator[Change]:
    """Yield the modes that the first run has times of; no normal mode that the second did not try."""
    for mode in MODES:
        one, other = before.modes.get(mode), after.modes.get(mode)
        if one is None or not one.is_timed or (other is None and mode != HIGH_PERFORMANCE):
            continue
        reason = ""
        if other is None or not other.is_timed:
            reason = (other.result.reason if other else after.reason) or "the second run has no times of it"
        yield Change(
            model=before.name,
            mode=mode,
            engine=_measure(one.result.engine_ms, other.result.engine_ms if other else ()),
            lines=_measure(one.result.samples, other.result.samples if other else ()),
            reason=reason,
        )


def _measure(before: Sequence[float], after: Sequence[float]) -> Measure:
    return Measure(
        before_ms=float(np.median(before)) if before else None,
        after_ms=float(np.median(after)) if after else None,
        ratio=unpaired_ratio(before, after) if before and after else None,
    )


def _gathered(
    both: Sequence[tuple[ModelFigures, ModelFigures]],
    differences: Callable[[ModelFigures, ModelFigures], Iterator[str]],
) -> list[str]:
    """Return what differs, each difference once with the models that it is true of."""
    found: dict[str, list[str]] = {}
    for one, other in both:
        if one.is_measured and other.is_measured:
            for text in differences(one, other):
                found.setdefault(text, []).append(one.name)
    whole = sum(one.is_measured and other.is_measured for one, other in both)
    return [text if len(names) == whole else f"{text} ({', '.join(names)})" for text, names in found.items()]


def _never_measured(both: Sequence[tuple[ModelFigures, ModelFigures]]) -> Iterator[str]:
    for one, _ in both:
        if not one.is_measured:
            yield f"{one.name} was not measured in the first run: {one.reason}"


def _warnings(before: ModelFigures, after: ModelFigures) -> Iterator[str]:
    one, other = before.row, after.row
    facts = {
        "machine": (machine_words(one.machine), machine_words(other.machine)),
        "device": (one.device, other.device),
        "number of threads": (_threads(before), _threads(after)),
        "aim of the tuning": (_aim(one), _aim(other)),
        "kind of weights": (one.weights, other.weights),
        "weights (fingerprint)": (one.fingerprint[:16], other.fingerprint[:16]),
    }
    for name, (was, now) in facts.items():
        if was != now:
            yield f"another {name}: {was or 'unknown'}, then {now or 'unknown'}"
    for row, when in ((one, "first"), (other, "second")):
        if row.unstable:
            yield f"{row.model} was unstable in the {when} run: {row.unstable}"


def _remarks(before: ModelFigures, after: ModelFigures) -> Iterator[str]:
    one, other = before.row.versions, after.row.versions
    changed = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    if changed:
        was, now = ({name: versions.get(name) or "absent" for name in changed} for versions in (one, other))
        yield f"other versions: {version_words(was)}, then {version_words(now)}"
    for mode in MODES:
        setups = [model.modes[mode].result.setup if mode in model.modes else None for model in (before, after)]
        if setups[0] and setups[1] and setups[0] != setups[1]:
            yield f"{before.name}, {MODES[mode]}: ran '{setups[0].name}', then '{setups[1].name}'"


def _threads(model: ModelFigures) -> str:
    """Return the threads asked for, and those of normal mode, which no tuning chose."""
    asked = "the usable cores" if model.row.threads is None else f"{model.row.threads} asked for"
    normal = {mode.threads for name, mode in model.modes.items() if name != HIGH_PERFORMANCE and mode.threads}
    return f"{asked}, {', '.join(map(str, sorted(normal)))} in normal mode" if normal else asked


def _aim(row: BenchRow) -> str:
    return f"{row.tuning.objective.goal}, accuracy {row.tuning.objective.accuracy}" if row.tuning else "none"
