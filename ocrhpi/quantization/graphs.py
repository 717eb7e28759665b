"""The graph of a plan: an exported graph of any form in which the layers that the plan lowers are lowered."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ocrhpi.backends.guest import as_it_was
from ocrhpi.cache import cache_root, keep, kept
from ocrhpi.errors import ExportError
from ocrhpi.export.exporter import EXPORTER_VERSION, export_model
from ocrhpi.export.passes import FP32_TENSORS_KEY, fold_scales
from ocrhpi.files import replacing
from ocrhpi.model import ModelFiles
from ocrhpi.model.graph_facts import PRECISION_KEY
from ocrhpi.quantization.plan import cache_path, find_plan
from ocrhpi.quantization.quantize import MIN_OPSET, kept_tensors, opset_of, quantize
from ocrhpi.quantization.statistics import read_statistics

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from onnx import ModelProto

    from ocrhpi.export.exporter import GraphForm
    from ocrhpi.model import Model
    from ocrhpi.quantization.plan import Lowered, PrecisionPlan
    from ocrhpi.quantization.statistics import LayerStatistics

_BETWEEN_PAIRS = frozenset({"onnxruntime"})
"""Backends that compute a layer in INT8 only if its output is in INT8, too; others lose by that."""


def lowered_model(
    model: Model, form: GraphForm, precision: Lowered, backend: str, *, cache_dir: Path | str | None = None
) -> Model:
    """Return ``model`` with ``files.onnx`` in the form ``form`` and the layers of its plan lowered, made if need be.

    Args:
        model: A Paddle or ONNX model.
        form: The graph wanted, in FP32.
        precision: What the lowered layers compute in.
        backend: What will run it.
        cache_dir: As in `ocrhpi.cache.cache_root`.

    Raises:
        OptionError: There is no plan for this model and precision; the error says how to make one.
        BackendUnavailable: A package that exporting needs is not installed.
        ExportError: A step failed.
        OutputError: The graph can be kept neither in the cache nor in a temporary folder.
    """
    plan = find_plan(model, precision, cache_dir=cache_dir)
    place = cache_path(model, precision, cache_dir=cache_dir)
    folder = place.with_name(f"{precision}-{plan.digest}-v{EXPORTER_VERSION}").relative_to(cache_root(cache_dir))
    name = f"outputs-{form.file_name}" if backend in _BETWEEN_PAIRS else form.file_name
    target = kept(f"{folder.as_posix()}/{name}", cache_dir)
    if target is None:
        exported = export_model(model, form, cache_dir=cache_dir)
        statistics = read_statistics(place.with_suffix(".npz")) if plan.statistics else {}
        make = partial(save_lowered, exported, plan, statistics, backend)
        target = keep(f"{folder.as_posix()}/{name}", make, cache_dir)
    return replace(model, files=replace(model.files, onnx=target))


def save_lowered(
    exported: Model, plan: PrecisionPlan, statistics: Mapping[str, LayerStatistics], backend: str, target: Path
) -> Model:
    """Lower the graph of an exported model, write it to ``target``, and return a model that has this graph alone.

    Raises:
        ExportError: The graph cannot be lowered.
    """
    with as_it_was():
        import onnx  # noqa: PLC0415 - only what makes graphs needs it

    assert exported.files.onnx is not None  # noqa: S101 - it is exported
    try:
        graph = apply_plan(onnx.load(exported.files.onnx), plan, statistics, backend)
        onnx.checker.check_model(graph, full_check=True)
        with replacing(target) as temporary:
            onnx.save(graph, temporary)
    except (ValueError, RuntimeError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(exported.path, f"precision {plan.precision!r}", f"{error}; use another one") from error
    return replace(exported, files=ModelFiles(onnx=target))


def apply_plan(
    graph: ModelProto, plan: PrecisionPlan, statistics: Mapping[str, LayerStatistics], backend: str
) -> ModelProto:
    """Lower the layers of a graph in FP32, in place.

    INT8 becomes part of the graph. For BF16 the metadata name the tensors that stay in FP32: a layer that rounds once,
    after its activation, cannot be written with the types of ONNX.

    Args:
        graph: A graph in FP32, of any form.
        plan: What to lower.
        statistics: For INT8: of each layer that can be lowered.
        backend: What will run it.

    Raises:
        ValueError: The graph cannot be lowered.
    """
    graph = fold_scales(graph)
    if plan.precision == "bf16-selective":
        graph.metadata_props.add(key=FP32_TENSORS_KEY, value="\n".join(kept_tensors(graph, plan.kept)))
    else:
        lowered = {name: values for name, values in statistics.items() if name not in plan.kept}
        graph = quantize(_recent(graph), lowered, between_pairs=backend in _BETWEEN_PAIRS)
    graph.metadata_props.add(key=PRECISION_KEY, value=plan.precision)
    return graph


def _recent(graph: ModelProto) -> ModelProto:
    """Return the graph with operators that have a scale for each channel.

    Raises:
        RuntimeError: An operator cannot be converted.
    """
    from onnx import version_converter  # noqa: PLC0415 - only what makes graphs needs it

    return graph if opset_of(graph) >= MIN_OPSET else version_converter.convert_version(graph, MIN_OPSET)
