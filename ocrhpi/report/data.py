"""The report for programs: CSV and plain values for JSON."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final

from ocrhpi.bench.rows import MODES
from ocrhpi.display.table import tuning_json
from ocrhpi.report.summary import HIGH_PERFORMANCE, verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ocrhpi.report.summary import ModeFigures, ModelFigures
    from ocrhpi.tuning.cache import Tuning
    from ocrhpi.tuning.rows import GateResult
    from ocrhpi.tuning.statistic import Ratio

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
