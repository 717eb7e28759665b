"""Make the plan of a model and a precision: export, calibrate, search, keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrhpi.backends.guest import as_it_was
from ocrhpi.backends.registry import create_backend
from ocrhpi.errors import BackendMismatch, OptionError
from ocrhpi.export.exporter import export_model
from ocrhpi.export.passes import fold_scales
from ocrhpi.files import temporary_folder
from ocrhpi.quantization.graphs import save_lowered
from ocrhpi.quantization.plan import LayerReport, PrecisionPlan, Step, cache_path, key_of, write_plan
from ocrhpi.quantization.quantize import find_layers
from ocrhpi.quantization.search import Effect, Found, Reference, Tried, search
from ocrhpi.quantization.statistics import line_tensors, measure_layers, statistics_digest, write_statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ocrhpi.model import Model
    from ocrhpi.quantization.plan import Lowered
    from ocrhpi.quantization.quantize import Layer
    from ocrhpi.quantization.statistics import LayerStatistics
    from ocrhpi.values import Pixels

QUICK_LINES = 64
"""Of the lines, so many of the first ones stand for all where layers are measured, and where one is lowered alone."""

_BF16_OPERATORS = frozenset({"Conv"})
"""Operators that OpenVINO keeps in FP32 where it is asked to; its matrix products follow the hint."""


def make_plan(
    model: Model,
    precision: Lowered,
    lines: Sequence[Pixels],
    *,
    engine: str = "openvino",
    cache_dir: Path | str | None = None,
    advance: Callable[[str], object] = lambda _: None,
) -> PrecisionPlan:
    """Find which layers of ``model`` may be lowered, and keep the plan.

    Args:
        model: A Paddle or ONNX model.
        precision: What they are to compute in.
        lines: Calibration lines, of which any number of the first ones stand for all.
        engine: The backend that it is measured with.
        cache_dir: As in `ocrhpi.cache.cache_root`.
        advance: Is told what is done.

    Raises:
        OptionError: The engine has no such precision, or there are no lines.
        BackendUnavailable: The engine, or a package that exporting needs, is not installed.
        BackendMismatch: The engine does not compute in this precision on this machine.
        ExportError: The model cannot be exported, or its graph not be lowered.
        OutputError: The plan cannot be kept.
    """
    with as_it_was():
        import onnx  # noqa: PLC0415 - only what makes graphs needs it

    if precision == "bf16-selective" and engine != "openvino":
        raise OptionError("engine", f"received {engine!r}; {precision!r} is OpenVINO's: expected 'openvino'")
    if not lines:
        raise OptionError("lines", "received none; expected at least one calibration line")
    advance("exporting")
    plain = export_model(model.stretched(None), cache_dir=cache_dir)
    assert plain.files.onnx is not None  # noqa: S101 - export_model() has seen to it
    graph = fold_scales(onnx.load(plain.files.onnx))
    layers = find_layers(graph)
    quick = line_tensors(lines[:QUICK_LINES], model.spec)
    statistics: dict[str, LayerStatistics] = {}
    if precision != "bf16-selective":
        advance("measuring the values of layers")
        statistics = measure_layers(graph, [layer.name for layer in layers if layer.weighted], quick)
    draft = PrecisionPlan(
        precision=precision,
        model=model.name,
        key=key_of(model, engine),
        statistics=statistics_digest(statistics) if statistics else None,
        lines=len(lines),
        layers=tuple(LayerReport(name=layer.name, operator=layer.operator, work=layer.work) for layer in layers),
    )
    with temporary_folder() as folder, create_backend(engine, plain, "cpu") as backend:
        references = Reference(backend, quick), Reference(backend, line_tensors(lines, model.spec))
        found = _find(layers, _Trial(plain, draft, statistics, engine, folder, *references), advance)
    plan = _finished(draft, statistics, found)
    place = cache_path(model, precision, cache_dir=cache_dir)
    if statistics:
        write_statistics(statistics, place.with_suffix(".npz"))
    write_plan(plan, place)
    return plan


@dataclass
class _Trial:
    """Lowers all layers but some and reads; what `ocrhpi.quantization.search.Measure` asks for."""

    plain: Model
    draft: PrecisionPlan
    statistics: Mapping[str, LayerStatistics]
    engine: str
    folder: Path
    quick_reference: Reference
    full_reference: Reference

    def __call__(self, kept: frozenset[str], *, quick: bool) -> Effect:
        plan = self.draft.model_copy(update={"kept": tuple(sorted(kept))})
        model = save_lowered(self.plain, plan, self.statistics, self.engine, self.folder / "lowered.onnx")
        reference = self.quick_reference if quick else self.full_reference
        try:
            with create_backend(self.engine, model, "cpu", {"precision": plan.precision}) as backend:
                return reference.effect(backend)
        except BackendMismatch:
            if not quick:
                raise
            return Effect(0, 0.0)  # the engine lowers these layers not alone; FP32 moves nothing


def _find(layers: Sequence[Layer], trial: _Trial, advance: Callable[[str], object]) -> Found:
    """Search; where all layers are to be lowered there is nothing to find, but what that changes."""
    precision = trial.draft.precision
    if precision != "int8":
        return search([layer for layer in layers if _searched(layer, precision)], trial, advance)
    advance("all layers lowered")
    return Found((Tried(frozenset(), trial(frozenset(), quick=False)),), {})


def _searched(layer: Layer, precision: Lowered) -> bool:
    """Whether the layer may be in either precision."""
    return layer.operator in _BF16_OPERATORS if precision == "bf16-selective" else layer.weighted


def _finished(draft: PrecisionPlan, statistics: Mapping[str, LayerStatistics], found: Found) -> PrecisionPlan:
    lowerable = set(statistics) if draft.statistics else {layer.name for layer in draft.layers}
    steps = tuple(
        Step(
            kept=len(one.kept),
            lowered=sum(layer.work for layer in draft.layers if layer.name in lowerable - one.kept),
            changed=one.effect.changed,
            shift=one.effect.shift,
        )
        for one in found.tried
    )
    layers = [layer.model_copy(update={"shift": found.shifts.get(layer.name)}) for layer in draft.layers]
    in_order = tuple(layer.name for layer in layers if layer.name in found.tried[-1].kept)
    return draft.model_copy(update={"kept": in_order, "layers": tuple(layers), "steps": steps})
