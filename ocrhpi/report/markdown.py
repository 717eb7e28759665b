"""The report as Markdown, its first table in the form of the one that PaddleOCR publishes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ocrhpi.bench.rows import HIGH_PERFORMANCE, MODES
from ocrhpi.report.bench_figures import MISSING, either, equal_texts, gain, number, speed
from ocrhpi.report.formatting import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ocrhpi.bench.rows import Mode
    from ocrhpi.report.bench_figures import ModelFigures
    from ocrhpi.report.conditions import Conditions

_SPECIAL = re.compile(r"[\\`*\[\]<>|~&$#]|(?<![^\W_])_|_(?![^\W_])")  # a single _ within a word is none
_RANDOM, _UNSTABLE = "†", "‡"


def as_markdown(models: Sequence[ModelFigures], conditions: Sequence[Conditions]) -> str:
    """Return the whole report.

    Args:
        models: The models, in the order in which they are shown.
        conditions: How they were measured.
    """
    measured = [model for model in models if model.is_measured]
    parts = [
        "# PaddleOCR text recognition: normal and high-performance mode",
        *_published_form(models),
        *(_modes_form(measured) if measured else ()),
        *_remarks(models),
        *_failures(models),
        *_conditions(conditions),
    ]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\g<0>", plain(text))


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Return a table that is readable as text, too.

    Args:
        titles: Titles of the columns.
        rows: Cells, escaped where they are from data.
        left: How many columns are text, and so begin at the left.
    """
    lines = [list(titles), *map(list, rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(titles))]

    def padded(line: Sequence[str]) -> str:
        cells = (
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        return f"| {' | '.join(cells)} |"

    rule = ["-" * width if column < left else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([padded(lines[0]), f"| {' | '.join(rule)} |", *map(padded, lines[1:])])


def notes_of(models: Sequence[ModelFigures]) -> list[tuple[str, str]]:
    """Return what must be known to read the tables, as (mark, sentence); without marks of which there is no model."""
    measured = [model for model in models if model.is_measured]
    random = [model.name for model in measured if model.row.weights == "reference"]
    own = [model.name for model in measured if model.row.weights == "own"]
    notes = []
    if random:
        who = "All models" if len(random) == len(measured) else ", ".join(random)
        told = f"{who} ran with reference weights: the published architecture with random numbers in it."
        notes.append((_RANDOM, f"{told} They tell speed; they say nothing about accuracy or precision."))
    if own:
        notes.append(("", f"{', '.join(own)} ran with the user's own weights."))
    notes += [
        (_UNSTABLE, f"{model.name} is to be taken with care: {model.row.unstable}.")
        for model in models
        if model.row.unstable
    ]
    return notes


def _published_form(models: Sequence[ModelFigures]) -> Iterator[str]:
    titles = (
        "Model",
        "Accuracy (%)",
        "GPU time (ms) [normal / high-performance]",
        "CPU time (ms) [normal / high-performance]",
        "Model size (MiB)",
    )
    yield markdown_table(titles, (_published_row(model) for model in models))
    yield (
        "Milliseconds per line of the engine alone: 3x48x320, one line a call unless said otherwise below, median of "
        "the rounds. Normal mode is Paddle in FP32, on the CPU without oneDNN, and for a model that is ONNX alone ONNX "
        "Runtime. Accuracy is the share of lines read exactly, where a dataset was given; else what PaddleOCR "
        "publishes, of its own weights and data, not of this run."
    )


def _published_row(model: ModelFigures) -> tuple[str, ...]:
    times = either(model.engine_ms(model.normal), model.engine_ms(HIGH_PERFORMANCE))
    gpu, cpu = (times, MISSING) if model.on_gpu else (MISSING, times)
    return (_name(model), model.accuracy_cell, gpu, cpu, number(model.row.size_mib))


def _modes_form(models: Sequence[ModelFigures]) -> Iterator[str]:
    """Yield the second table, with the columns that there are figures for."""
    modes = [mode for mode in MODES if any(mode in model.modes for model in models)]
    normal = [mode for mode in modes if mode != HIGH_PERFORMANCE]
    columns: list[tuple[str, Callable[[ModelFigures], str]]] = [("Model", _name)]
    columns += [(f"{MODES[mode]} (ms)", _engine_cell(mode)) for mode in modes]
    columns += [(f"Engine, vs {MODES[mode]} (95 %)", _speed_cell(mode, "engine")) for mode in normal]
    columns += [
        ("Published speed-up", lambda model: gain(model.published_speed)),
        *((f"{MODES[mode]} (lines/s)", _lines_cell(mode)) for mode in modes),
        *((f"Lines, vs {MODES[mode]} (95 %)", _speed_cell(mode, "lines")) for mode in normal),
        ("Precision", _precision),
        ("Texts equal", _texts),
    ]
    yield "## High-performance mode against normal mode"
    yield markdown_table([title for title, _ in columns], ([cell(model) for _, cell in columns] for model in models))
    yield (
        "Speed-ups are how many times as fast as a normal mode high-performance mode is: the median of the ratios of "
        "single rounds, with its bootstrap 95 % interval; where that holds 1, there is no difference beyond noise. "
        "Lines/s are end to end, from the image in memory to the text, over a stream of lines of new widths. The "
        "published speed-up is PaddleOCR's, of the engine alone, against plain Paddle on other machines (CPU: Xeon "
        "Gold 6271C, 8 threads; GPU: T4). Texts equal: lines whose text is that of normal mode, in this benchmark "
        "and, in brackets, when it was tuned."
    )


def _engine_cell(mode: Mode) -> Callable[[ModelFigures], str]:
    return lambda model: number(model.engine_ms(mode))


def _lines_cell(mode: Mode) -> Callable[[ModelFigures], str]:
    return lambda model: number(model.lines_per_s(mode))


def _speed_cell(mode: Mode, kind: str) -> Callable[[ModelFigures], str]:
    return lambda model: speed((model.engine_speeds if kind == "engine" else model.line_speeds).get(mode))


def _precision(model: ModelFigures) -> str:
    mode = model.modes.get(HIGH_PERFORMANCE)
    return escaped(mode.precision.upper()) if mode and mode.precision else MISSING


def _texts(model: ModelFigures) -> str:
    bench, tuned = model.bench_gate, model.tuning_gate
    return equal_texts(bench) + (f" ({equal_texts(tuned)})" if tuned else "")


def _name(model: ModelFigures) -> str:
    marks = (_RANDOM if model.row.weights == "reference" else "", _UNSTABLE if model.row.unstable else "")
    return " ".join(filter(None, (escaped(model.name), *marks)))


def _remarks(models: Sequence[ModelFigures]) -> Iterator[str]:
    notes = notes_of(models)
    if notes:
        yield "\n".join(f"- {f'{mark} ' if mark else ''}{escaped(text)}" for mark, text in notes)


def _failures(models: Sequence[ModelFigures]) -> Iterator[str]:
    failed = [f"- **{escaped(model.name)}**: {escaped(model.reason)}" for model in models if not model.is_measured]
    modes = [
        f"- **{escaped(model.name)}**, {MODES[name]}: {escaped(mode.result.reason)}"
        for model in models
        if model.is_measured
        for name, mode in model.modes.items()
        if mode.result.reason
    ]
    if failed:
        yield "## Models that were not measured"
        yield "\n".join(failed)
    if modes:
        yield "## Modes without times"
        yield "\n".join(modes)


def _conditions(conditions: Sequence[Conditions]) -> Iterator[str]:
    for group in conditions:
        if group is conditions[0]:
            yield "## How it was measured"
        if len(conditions) > 1:
            yield f"{', '.join(map(escaped, group.models))}:"
        yield "\n".join(f"- {what}: {escaped(fact)}" for what, fact in group.facts.items())
        yield "To measure it again, with these versions installed:"
        yield "\n".join(["```sh", *map(plain, group.commands), "```"])
