"""The report as one HTML page that needs nothing else: no network, no other file."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ocrhpi.bench.rows import HIGH_PERFORMANCE, MODES
from ocrhpi.measuring.statistic import verdict
from ocrhpi.report import plot as plotting
from ocrhpi.report.bench_figures import (
    MISSING,
    NO_DIFFERENCE,
    accuracy,
    either,
    equal_texts,
    gain,
    interval,
    number,
    speed,
)
from ocrhpi.report.formatting import times
from ocrhpi.report.markdown import notes_of
from ocrhpi.report.tuning_figures import figures_of as tuning_figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ocrhpi.bench.rows import Mode
    from ocrhpi.measuring.statistic import Ratio
    from ocrhpi.report.bench_figures import ModelFigures
    from ocrhpi.report.conditions import Conditions

_SHORT = {"plain": "plain", "onednn": "oneDNN", "gpu": "GPU", "onnx": "ONNX", HIGH_PERFORMANCE: "high-perf."}


def as_page(models: Sequence[ModelFigures], conditions: Sequence[Conditions]) -> str:
    """Return the page.

    Everything that comes from data is escaped, and a policy in the page lets no script run but its own, and nothing be
    loaded.

    Args:
        models: The models, in the order in which they are shown first.
        conditions: How they were measured.
    """
    environment = _environment()
    script = _source("page.js")
    modes = [mode for mode in MODES if any(mode in model.modes for model in models)]
    return environment.get_template("page.html").render(
        models=models,
        measured=[model for model in models if model.is_measured],
        modes=modes,
        normal_modes=[mode for mode in modes if mode != HIGH_PERFORMANCE],
        with_accuracy=any(model.shown_accuracy is not None for model in models),
        bars=_bars(models),
        plot=plotting.plot_of(models),
        claims=list(_claims(models)),
        notes=notes_of(models),
        conditions=conditions,
        days=sorted({model.row.created[:10] for model in models}),
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=Markup(_source("page.css")),  # noqa: S704 - our own file
    )


@dataclass(frozen=True)
class _Bar:
    """One bar; places are percent of the width.

    Attributes:
        kind: Normal mode that high-performance mode is compared with, or ``published``.
        text: The speed-up in words.
        width: Its length.
        low: Where its interval begins; None without one.
        high: Where that ends.
    """

    kind: str
    text: str
    width: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class _Bars:
    """The bars of all models that have any.

    Attributes:
        models: Model -> its bars.
        kinds: The kinds of bars that there are, with their titles.
        one: Where a speed-up of 1 is, in percent of the width.
    """

    models: list[tuple[ModelFigures, list[_Bar]]]
    kinds: dict[str, str]
    one: float


def _bars(models: Sequence[ModelFigures]) -> _Bars | None:
    shown = [model for model in models if model.engine_speeds]
    if not shown:
        return None
    highest = max(max(ratio.high for ratio in model.engine_speeds.values()) for model in shown)
    full = max(1.0, highest, *(model.published_speed or 0.0 for model in shown))
    every = [(model, list(_bars_of(model, full))) for model in shown]
    present = {bar.kind for _, bars in every for bar in bars}
    titles: dict[str, str] = {mode: f"here, vs {title}" for mode, title in MODES.items()}
    titles["published"] = "published"
    return _Bars(every, {kind: title for kind, title in titles.items() if kind in present}, _percent(1, full))


def _bars_of(model: ModelFigures, full: float) -> Iterator[_Bar]:
    normal = model.normal
    if normal in model.engine_speeds:
        yield _measured_bar(normal, model.engine_speeds[normal], full)
    if model.published_speed is not None:
        text = f"{gain(model.published_speed)} published"
        yield _Bar("published", text, _percent(model.published_speed, full))
    for mode, ratio in model.engine_speeds.items():
        if mode != normal:
            yield _measured_bar(mode, ratio, full)


def _measured_bar(mode: Mode, ratio: Ratio, full: float) -> _Bar:
    text = f"{speed(ratio)} vs {MODES[mode]}"
    width = _percent(ratio.median, full)
    if verdict(ratio) == "open":
        return _Bar(mode, text, width)
    return _Bar(mode, text, width, _percent(ratio.low, full), _percent(ratio.high, full))


def _percent(value: float, full: float) -> float:
    return round(100 * value / full, 2)


def _claims(models: Sequence[ModelFigures]) -> Iterator[tuple[str, str]]:
    """Yield what the intervals prove over all models, for each normal mode and both ways of timing."""
    for mode, title in MODES.items():
        for kind in ("engine alone", "end to end"):
            speeds = [model.engine_speeds if kind == "engine alone" else model.line_speeds for model in models]
            ratios = [of_model[mode] for of_model in speeds if mode in of_model]
            if not ratios:
                continue
            found: Counter[str] = Counter(map(verdict, ratios))
            words = [f"faster for {found['faster']} of {len(ratios)} model{'' if len(ratios) == 1 else 's'}"]
            others = (("slower", "slower"), ("none", NO_DIFFERENCE), ("open", "too few rounds to tell"))
            words += [f"{phrase} for {found[word]}" for word, phrase in others if found[word]]
            yield f"vs {title}, {kind}", ", ".join(words)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ocrhpi.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    words = (accuracy, either, equal_texts, gain, interval, number, speed, times)
    environment.filters |= {word.__name__: word for word in words}
    environment.filters |= {"flat": _flat, "tuned": tuning_figures}
    environment.globals |= {
        "HIGH": HIGH_PERFORMANCE,
        "MISSING": MISSING,
        "MODES": MODES,
        "SHORT": _SHORT,
        "plotting": plotting,
        "verdict": verdict,
    }
    return environment


@cache
def _source(name: str) -> str:
    loader = _environment().loader
    assert loader is not None  # noqa: S101 - it was given above
    return loader.get_source(_environment(), name)[0]


def _flat(value: Mapping[str, Any] | None, prefix: str = "") -> list[tuple[str, str]]:
    """Return the leaves of nested settings with their dotted names."""
    found: list[tuple[str, str]] = []
    for name, item in (value or {}).items():
        dotted = f"{prefix}{name}"
        if isinstance(item, Mapping):
            found += _flat(item, f"{dotted}.")
        elif item not in (None, "", [], ()):
            found.append((dotted, ", ".join(map(str, item)) if isinstance(item, list | tuple) else str(item)))
    return found
