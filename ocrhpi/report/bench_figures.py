"""What follows from the rows of a benchmark, and how every form of the report words it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrhpi.bench.rows import HIGH_PERFORMANCE
from ocrhpi.catalog import official_models
from ocrhpi.measuring.statistic import paired_ratio, verdict
from ocrhpi.report.formatting import decimal, times

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocrhpi.bench.rows import BenchRow, Mode, ModeResult
    from ocrhpi.catalog import PublishedFigures
    from ocrhpi.measuring.statistic import Ratio
    from ocrhpi.tuning.rows import GateResult


@dataclass(frozen=True)
class ModeFigures:
    """One mode of one model.

    Attributes:
        result: What was measured.
        engine_ms: Milliseconds per line of the engine alone: median of the rounds; None without times.
        line_ms: Milliseconds per line of a stream, from the image to the text; the same.
    """

    result: ModeResult
    engine_ms: float | None
    line_ms: float | None

    @property
    def is_timed(self) -> bool:
        """Whether there is any time of it."""
        return self.engine_ms is not None or self.line_ms is not None

    @property
    def lines_per_s(self) -> float | None:
        """Lines read in a second, end to end."""
        return None if self.line_ms is None else 1e3 / self.line_ms

    @property
    def precision(self) -> str:
        """Precision that ran, as the engine said after loading; empty if it never did."""
        return str((self.result.effective or {}).get("precision") or "")

    @property
    def threads(self) -> int | None:
        """CPU threads that the engine computes with; None if it never said, or computes on another device."""
        threads = (self.result.effective or {}).get("threads")
        return threads if isinstance(threads, int) and threads > 0 else None


@dataclass(frozen=True)
class ModelFigures:
    """One model.

    Attributes:
        row: What was measured.
        modes: Its modes, in the order in which they were measured.
        published: What PaddleOCR publishes about it; None for other models.
        engine_speeds: Normal mode -> how many times as fast as it high-performance mode is, the engine alone.
        line_speeds: The same from the image to the text.
    """

    row: BenchRow
    modes: dict[Mode, ModeFigures]
    published: PublishedFigures | None
    engine_speeds: dict[Mode, Ratio]
    line_speeds: dict[Mode, Ratio]

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.row.model

    @property
    def is_measured(self) -> bool:
        """Whether there is any time of it."""
        return any(mode.is_timed for mode in self.modes.values())

    @property
    def reason(self) -> str:
        """Why there are no times; empty if there are."""
        if self.is_measured:
            return ""
        reasons = (mode.result.reason for mode in self.modes.values())
        return self.row.reason or next(filter(None, reasons), "its file holds no times")

    @property
    def on_gpu(self) -> bool:
        """Whether it was measured on a GPU."""
        return self.row.device.startswith("gpu")

    @property
    def normal(self) -> Mode:
        """The mode that the published tables call normal; of a model that is ONNX alone, what that is here."""
        if "onnx" in self.modes:
            return "onnx"
        return "gpu" if self.on_gpu else "plain"

    @property
    def published_ms(self) -> tuple[float, float] | None:
        """Published milliseconds in normal and in high-performance mode, of the T4 or the Xeon."""
        figures = self.published
        if figures is None:
            return None
        if self.on_gpu:
            return figures.t4_normal_ms, figures.t4_high_performance_ms
        return figures.xeon_6271c_normal_ms, figures.xeon_6271c_high_performance_ms

    @property
    def published_speed(self) -> float | None:
        """Published speed-up of high-performance over normal mode."""
        times = self.published_ms
        return None if times is None else times[0] / times[1]

    @property
    def accuracy(self) -> float | None:
        """Share of lines read exactly; None if it was not measured, or of random weights, of which it says nothing."""
        return None if self.row.accuracy is None or self.row.weights == "reference" else self.row.accuracy.accuracy

    @property
    def shown_accuracy(self) -> float | None:
        """The accuracy that is shown, in percent: what was measured, else what PaddleOCR publishes."""
        if self.accuracy is not None:
            return 100 * self.accuracy
        return self.published.avg_accuracy_pct if self.published else None

    @property
    def accuracy_cell(self) -> str:
        """The same in words, marked where it is published, which is of PaddleOCR's own weights and data."""
        if self.shown_accuracy is None:
            return MISSING
        return f"{self.shown_accuracy:.2f}" + (" (published)" if self.accuracy is None else "")

    @property
    def bench_gate(self) -> GateResult | None:
        """How high-performance mode read in the benchmark, against normal mode."""
        mode = self.modes.get(HIGH_PERFORMANCE)
        return mode.result.gate if mode else None

    @property
    def tuning_gate(self) -> GateResult | None:
        """How the same read in its tuning, on more lines; None if something else was chosen there."""
        mode, tuning = self.modes.get(HIGH_PERFORMANCE), self.row.tuning
        rows = tuning.rows if tuning and mode else ()
        return next((row.gate for row in rows if mode and row.candidate == mode.result.setup), None)

    def engine_ms(self, mode: Mode) -> float | None:
        """Return milliseconds per line of the engine alone; None without times."""
        return self.modes[mode].engine_ms if mode in self.modes else None

    def lines_per_s(self, mode: Mode) -> float | None:
        """Return lines read in a second, end to end; None without times."""
        return self.modes[mode].lines_per_s if mode in self.modes else None


def figures_of(rows: Iterable[BenchRow]) -> list[ModelFigures]:
    """Return the figures of the models: the official ones in the order of the published table, then the others."""
    places = {name: place for place, name in enumerate(official_models())}
    ordered = sorted(rows, key=lambda row: (places.get(row.model, len(places)), row.model))
    return [_model_figures(row) for row in ordered]


def _model_figures(row: BenchRow) -> ModelFigures:
    official = official_models().get(row.model)
    results = {result.mode: result for result in row.modes}
    high = results.get(HIGH_PERFORMANCE)
    normal = {mode: result for mode, result in results.items() if mode != HIGH_PERFORMANCE}
    engine = {
        mode: _ratio(zip(result.engine_ms, high.engine_ms, strict=False)) for mode, result in normal.items() if high
    }
    lines = {mode: _ratio(zip(result.samples, high.samples, strict=False)) for mode, result in normal.items() if high}
    return ModelFigures(
        row=row,
        modes={mode: _mode_figures(result) for mode, result in results.items()},
        published=official.published if official else None,
        engine_speeds={mode: ratio for mode, ratio in engine.items() if ratio},
        line_speeds={mode: ratio for mode, ratio in lines.items() if ratio},
    )


def _mode_figures(result: ModeResult) -> ModeFigures:
    return ModeFigures(
        result=result,
        engine_ms=statistics.median(result.engine_ms) if result.engine_ms else None,
        line_ms=statistics.median(result.samples) if result.samples else None,
    )


def _ratio(rounds: Iterable[tuple[float, float]]) -> Ratio | None:
    """Return how many times as fast the second is, over the rounds that both have."""
    pairs = list(rounds)
    return paired_ratio([one for one, _ in pairs], [other for _, other in pairs]) if pairs else None


MISSING = "-"

NO_DIFFERENCE = "no difference beyond noise"


def number(value: float | None) -> str:
    """Return three digits; a dash for None."""
    return decimal(value) or MISSING


def accuracy(share: float | None) -> str:
    """Return a share of lines in percent, as the published table gives it; a dash for None."""
    return MISSING if share is None else f"{100 * share:.2f}"


def gain(value: float | None) -> str:
    """Return a speed-up of which no interval is known; a dash for None."""
    return MISSING if value is None else times(value)


def interval(ratio: Ratio) -> str:
    """Return the interval of a speed-up, or why there is none worth showing."""
    if verdict(ratio) == "open":
        return f"{ratio.rounds} round{'' if ratio.rounds == 1 else 's'}, too few to tell"
    low, high = (times(end).removesuffix("x") for end in (ratio.low, ratio.high))
    return f"{low} to {high}"


def speed(ratio: Ratio | None) -> str:
    """Return a speed-up with its interval, and no more than that proves; a dash for None."""
    if ratio is None:
        return MISSING
    shown = f"{times(ratio.median)} ({interval(ratio)})"
    return f"{shown}: {NO_DIFFERENCE}" if verdict(ratio) == "none" else shown


def either(one: float | None, other: float | None) -> str:
    """Return two times as the published table gives them, ``16.7 / 4.64``; a dash without both."""
    return MISSING if one is None and other is None else f"{number(one)} / {number(other)}"


def equal_texts(gate: GateResult | None) -> str:
    """Return how many texts are equal to those of normal mode, such as ``32 of 32``; a dash if it is not known."""
    return MISSING if gate is None else f"{gate.lines - gate.changed} of {gate.lines}"
