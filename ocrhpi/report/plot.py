"""Where everything stands in the plot of lines per second over milliseconds per line; the template draws it.

Both axes are logarithmic. Each model is a line through its modes. Names stand beside the marks of high-performance
mode, where there is room.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrhpi.bench.rows import HIGH_PERFORMANCE, MODES
from ocrhpi.report.bench_figures import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ocrhpi.bench.rows import Mode
    from ocrhpi.report.bench_figures import ModelFigures

WIDTH, HEIGHT = 760, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 16, 56
_ROOM = 1.25  # beyond the smallest and the largest value
_STEPS = ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), tuple(tenth / 10 for tenth in range(10, 100)))
_MIN_TICKS = 3
_CHARACTER, _LINE = 6.4, 13  # of a label in the font size of the page's style
_MARK = 6


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        low: Value at its beginning.
        high: Value at its end.
        start: Where its beginning is.
        end: Where its end is; the y axis ends above its beginning.
    """

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def of(cls, values: Iterable[float], start: float, end: float) -> Axis:
        """Return an axis that holds the values, which are above 0, with room around them."""
        known = list(values)
        return cls(min(known) / _ROOM, max(known) * _ROOM, start, end)

    def place(self, value: float) -> float:
        """Return where a value is."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return round(self.start + share * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Places and words of the round values on it; the fewer there are, the less round they may be."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        values: list[float] = []
        for steps in _STEPS:
            values = [step * 10.0**decade for decade in decades for step in steps]
            values = [value for value in values if self.low <= value <= self.high]
            if len(values) >= _MIN_TICKS:
                break
        return [(self.place(value), f"{value:g}") for value in values]


@dataclass(frozen=True)
class Mark:
    """One mode of one model.

    Attributes:
        mode: The mode that is drawn.
        x: Its place.
        y: Its place.
        title: Model, mode and figures in words.
    """

    mode: Mode
    x: float
    y: float
    title: str


@dataclass(frozen=True)
class Label:
    """The name of a model.

    Attributes:
        text: The name.
        x: Where it begins or ends.
        y: Its base line.
        anchor: ``start`` or ``end``.
    """

    text: str
    x: float
    y: float
    anchor: str


@dataclass(frozen=True)
class Plot:
    """The plot.

    Attributes:
        x: Milliseconds per line, the engine alone.
        y: Lines per second, end to end.
        paths: For each model, the marks of its modes, normal ones first.
        labels: Names that do not cover marks or each other.
    """

    x: Axis
    y: Axis
    paths: list[list[Mark]]
    labels: list[Label]

    @property
    def modes(self) -> list[Mode]:
        """The modes that have marks."""
        return [mode for mode in MODES if any(mark.mode == mode for path in self.paths for mark in path)]


def plot_of(models: Sequence[ModelFigures]) -> Plot | None:
    """Return the plot of the models; None if no mode has both figures."""
    points = [(model, _points(model)) for model in models]
    values = [value for _, of_model in points for value in of_model.values()]
    if not values:
        return None
    x = Axis.of([ms for ms, _ in values], _LEFT, WIDTH - _RIGHT)
    y = Axis.of([lines for _, lines in values], HEIGHT - _BOTTOM, _TOP)
    marks = [[_mark(model, mode, value, x, y) for mode, value in of_model.items()] for model, of_model in points]
    paths = [path for path in marks if path]
    names = [(model.name, mark) for (model, _), path in zip(points, marks, strict=True) for mark in path]
    return Plot(x, y, paths, _labels(names))


def _points(model: ModelFigures) -> dict[Mode, tuple[float, float]]:
    known = {mode: model.modes[mode] for mode in MODES if mode in model.modes}
    return {
        mode: (one.engine_ms, one.lines_per_s)
        for mode, one in known.items()
        if one.engine_ms is not None and one.lines_per_s is not None
    }


def _mark(model: ModelFigures, mode: Mode, value: tuple[float, float], x: Axis, y: Axis) -> Mark:
    title = f"{model.name}, {MODES[mode]}: {number(value[0])} ms, {number(value[1])} lines/s"
    return Mark(mode, x.place(value[0]), y.place(value[1]), title)


def _labels(names: Sequence[tuple[str, Mark]]) -> list[Label]:
    """Put each name to the right or the left of its mark, a little above or below, where nothing else stands."""
    taken = [_Box(mark.x - _MARK, mark.y - _MARK, mark.x + _MARK, mark.y + _MARK) for _, mark in names]
    labels = []
    for text, mark in names:
        if mark.mode != HIGH_PERFORMANCE:
            continue
        for label in _placings(text, mark):
            box = _box(label)
            if box.is_inside and not any(box.meets(other) for other in taken):
                taken.append(box)
                labels.append(label)
                break
    return labels


def _placings(text: str, mark: Mark) -> Iterable[Label]:
    for down in (4, -7, 15):
        yield Label(text, mark.x + _MARK + 3, mark.y + down, "start")
        yield Label(text, mark.x - _MARK - 3, mark.y + down, "end")


def _box(label: Label) -> _Box:
    width = _CHARACTER * len(label.text)
    left = label.x if label.anchor == "start" else label.x - width
    return _Box(left, label.y - _LINE + 3, left + width, label.y + 3)


@dataclass(frozen=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    @property
    def is_inside(self) -> bool:
        return self.left >= _LEFT and self.right <= WIDTH and self.top >= 0 and self.bottom <= HEIGHT - _BOTTOM

    def meets(self, other: _Box) -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom
