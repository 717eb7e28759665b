"""The rows of a directory, and the files of the report that is made from them: here CSV and plain values for JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from ocrhpi.bench.rows import HIGH_PERFORMANCE, MODES, BenchRow
from ocrhpi.data_files import read_bounded, read_json
from ocrhpi.errors import OptionError
from ocrhpi.files import write_atomically
from ocrhpi.measuring.statistic import verdict
from ocrhpi.report.bench_figures import figures_of
from ocrhpi.report.conditions import conditions_of
from ocrhpi.report.markdown import as_markdown
from ocrhpi.report.page import as_page
from ocrhpi.report.tuning_table import tuning_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ocrhpi.measuring.statistic import Ratio
    from ocrhpi.report.bench_figures import ModeFigures, ModelFigures
    from ocrhpi.tuning.cache import Tuning
    from ocrhpi.tuning.rows import GateResult

REPORT_FORMAT: Final = "ocrhpi-report-2"

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_values(models: Sequence[ModelFigures]) -> dict[str, Any]:
    """Return the report as plain values.

    Returns:
        ``format``: kind and version; and ``models``, in the order of the tables, each:

        - ``model``, ``weights``, ``fingerprint``, ``size_mib``, ``created``, ``seconds``, ``device``, ``threads``,
          ``machine``, ``versions``, ``load``, ``unstable``, ``batch_size``, ``budget_s``, ``precision``,
          ``calibration``, ``accuracy`` as in its row
        - ``reason``: why there are no times; empty if there are
        - ``modes``: by name, each ``setup`` (its name or null), ``reason``, ``effective``, ``gate``, ``load_s``,
          ``peak_mib``; ``engine_ms``, ``line_ms``, ``lines_per_s``: medians or null; ``engine_rounds_ms``,
          ``line_rounds_ms``: of each round
        - ``engine_speeds``, ``line_speeds``: normal mode -> how many times as fast as it high-performance mode is:
          ``median``, ``low`` and ``high`` of the 95 % interval, ``rounds``, and ``verdict``: ``faster``, ``slower``,
          ``none`` (no difference beyond noise) or ``open`` (too few rounds to tell)
        - ``published``: null, or ``accuracy_pct``, ``size_mb``, ``times_source``, and for ``cpu`` and ``gpu`` each
          ``normal_ms``, ``high_performance_ms`` and ``speed``
        - ``tuning``: null, or as ``ocrhpi explain --json`` prints it, without paths
    """
    return {"format": REPORT_FORMAT, "models": [_model_values(model) for model in models]}


def as_csv(models: Sequence[ModelFigures]) -> str:
    """Return one line a model under a line of names; what was not found out is empty.

    Columns that begin with ``plain``, ``onednn``, ``gpu`` and ``high_performance`` are of these modes; ``vs_...`` is
    how many times as fast as that mode high-performance mode is. Texts that a spreadsheet would take for a formula
    begin with an apostrophe.
    """
    lines = [_csv_values(model) for model in models]
    file = io.StringIO()
    writer = csv.DictWriter(file, list(lines[0]) if lines else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in line.items()} for line in lines)
    return file.getvalue()


def _model_values(model: ModelFigures) -> dict[str, Any]:
    row = model.row.model_dump(mode="json", exclude={"format", "modes", "tuning"})
    return {
        **row,
        "reason": model.reason,
        "modes": {name: _mode_values(mode) for name, mode in model.modes.items()},
        "engine_speeds": {mode: _ratio_values(ratio) for mode, ratio in model.engine_speeds.items()},
        "line_speeds": {mode: _ratio_values(ratio) for mode, ratio in model.line_speeds.items()},
        "published": _published_values(model),
        "tuning": None if model.row.tuning is None else _tuning_values(model.row.tuning),
    }


def _mode_values(mode: ModeFigures) -> dict[str, Any]:
    result = mode.result.model_dump(mode="json")
    return {
        "setup": None if mode.result.setup is None else mode.result.setup.name,
        **{name: result[name] for name in ("reason", "effective", "gate", "load_s", "peak_mib")},
        "engine_ms": mode.engine_ms,
        "line_ms": mode.line_ms,
        "lines_per_s": mode.lines_per_s,
        "engine_rounds_ms": result["engine_ms"],
        "line_rounds_ms": list(mode.result.samples),
    }


def _ratio_values(ratio: Ratio) -> dict[str, Any]:
    return {**ratio.model_dump(), "verdict": verdict(ratio)}


def _published_values(model: ModelFigures) -> dict[str, Any] | None:
    figures = model.published
    if figures is None:
        return None
    cpu = (figures.xeon_6271c_normal_ms, figures.xeon_6271c_high_performance_ms)
    gpu = (figures.t4_normal_ms, figures.t4_high_performance_ms)
    return {
        "accuracy_pct": figures.avg_accuracy_pct,
        "size_mb": figures.storage_mb,
        "times_source": figures.times_source,
        **{
            device: {"normal_ms": normal, "high_performance_ms": high, "speed": normal / high}
            for device, (normal, high) in (("cpu", cpu), ("gpu", gpu))
        },
    }


def _tuning_values(tuning: Tuning) -> dict[str, Any]:
    values = tuning_json(tuning)
    del values["path"]
    values["model"] = {name: value for name, value in values["model"].items() if name != "path"}
    return values


def _csv_values(model: ModelFigures) -> dict[str, Any]:
    row, high = model.row, model.modes.get(HIGH_PERFORMANCE)
    values: dict[str, Any] = {
        "model": row.model,
        "weights": row.weights,
        "reason": model.reason,
        "device": row.device,
        "threads": row.threads,
        "size_mib": row.size_mib,
        "accuracy": None if row.accuracy is None else row.accuracy.accuracy,
    }
    for mode in MODES:
        name = mode.replace("-", "_")
        values[f"{name}_engine_ms"] = model.engine_ms(mode)
        values[f"{name}_lines_per_s"] = model.lines_per_s(mode)
    for mode in MODES:
        if mode != HIGH_PERFORMANCE:
            values |= _csv_ratio(f"vs_{mode}_engine", model.engine_speeds.get(mode))
            values |= _csv_ratio(f"vs_{mode}_lines", model.line_speeds.get(mode))
    return {
        **values,
        "published_speed": model.published_speed,
        "setup": high.result.setup.name if high and high.result.setup else None,
        "precision": high.precision if high else None,
        **_csv_gate("bench", model.bench_gate),
        **_csv_gate("tuning", model.tuning_gate),
        "unstable": row.unstable,
        "created": row.created,
    }


def _csv_ratio(name: str, ratio: Ratio | None) -> Mapping[str, Any]:
    ends = {"": "median", "_low": "low", "_high": "high", "_rounds": "rounds"}
    values = {name + end: getattr(ratio, part, None) for end, part in ends.items()}
    return {**values, f"{name}_verdict": None if ratio is None else verdict(ratio)}


def _csv_gate(name: str, gate: GateResult | None) -> Mapping[str, Any]:
    return {f"{name}_texts": gate and gate.lines, f"{name}_texts_changed": gate and gate.changed}


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


_REPORT = "report"


def read_rows(directory: Path | str) -> list[BenchRow]:
    """Read the rows that ``ocrhpi bench -o DIR`` wrote, in the order of their names.

    A report that was written beside them, and hidden files, are passed over.

    Args:
        directory: The directory.

    Raises:
        OptionError: It is missing or holds no row, or a file in it is damaged or no row; the error names it.
    """
    folder = Path(directory).expanduser()
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        raise OptionError("directory", f"{folder}: {getattr(error, 'strerror', None) or error}") from error
    rows = [row for path in paths if (row := _read_row(path)) is not None]
    if not rows:
        problem = f"{folder}: holds no results; this makes them: ocrhpi bench all -o {folder}"
        raise OptionError("directory", problem)
    return rows


def write_report(rows: Sequence[BenchRow], output: Path | str) -> list[Path]:
    """Write ``report.md``, ``report.csv``, ``report.json`` and ``report.html``, each as a whole or not at all.

    Args:
        rows: The rows, one a model.
        output: Directory, made if need be.

    Returns:
        The files.

    Raises:
        OptionError: They cannot be written, or the row of a model called 'report' is in the way.
    """
    models = figures_of(rows)
    conditions = conditions_of(models)
    texts = {
        "md": as_markdown(models, conditions),
        "csv": as_csv(models),
        "json": json.dumps(as_values(models), ensure_ascii=False, indent=1) + "\n",
        "html": as_page(models, conditions),
    }
    folder = Path(output).expanduser()
    paths = [folder / f"{_REPORT}.{kind}" for kind in texts]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_free(folder / f"{_REPORT}.json")
        for path, text in zip(paths, texts.values(), strict=True):
            write_atomically(path, text)
    except OSError as error:
        raise OptionError("output", f"{error.filename or folder}: {error.strerror or error}") from error
    return paths


def _read_row(path: Path) -> BenchRow | None:
    """Return the row in a file; None for a report."""
    try:
        text = read_bounded(path)
        content = read_json(text)
    except (OSError, ValueError) as error:
        raise OptionError("directory", f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    kind = content.get("format") if isinstance(content, dict) else None
    if kind == REPORT_FORMAT:
        return None
    if kind != BenchRow.model_fields["format"].default:
        raise OptionError("directory", f"{path}: is not a file that this version of 'ocrhpi bench' writes")
    try:
        row = BenchRow.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise OptionError("directory", f"{path}: damaged at {place or 'the top'}: {fault['msg']}") from None
    problem = next(_faults(row, path), None)
    if problem is not None:
        raise OptionError("directory", f"{path}: damaged: {problem}")
    return row


def _faults(row: BenchRow, path: Path) -> Iterator[str]:
    """Yield what the types of a row let pass."""
    if row.model != path.stem:
        yield f"it is the row of {row.model!r}, whose file is called '{row.model}.json'"
    modes = [result.mode for result in row.modes]
    if len(set(modes)) < len(modes):
        yield "a mode stands in it twice"
    for result in row.modes:
        if not all(0 < ms < math.inf for ms in (*result.engine_ms, *result.samples)):
            yield f"a time of mode {result.mode} is not above 0"


def _check_free(path: Path) -> None:
    """Refuse to overwrite what may be the row of a model."""
    if path.exists() and f'"{REPORT_FORMAT}"' not in path.read_text("utf-8", "replace"):
        problem = f"{path}: is there and is no report of ocrhpi; choose another directory with --output"
        raise OptionError("output", problem)
