"""A candidate made to run: its graph exported, its engine opened, its reader put together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from ocrhpi.backends.registry import backend_specs, create_backend
from ocrhpi.candidate import Candidate, Split, Verified
from ocrhpi.errors import OptionError
from ocrhpi.export.exporter import GraphForm, can_export, export_model
from ocrhpi.export.passes import EXPORTER_KEY
from ocrhpi.onnx_metadata import read_onnx_metadata
from ocrhpi.precision.graphs import lowered_model
from ocrhpi.precision.plan import LOWERED
from ocrhpi.reading.engine import EngineReader
from ocrhpi.reading.split import SplitReader
from ocrhpi.reading.verified import VerifiedReader
from ocrhpi.recognition.batching import bucket_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ocrhpi.candidate import Setup
    from ocrhpi.model import Model
    from ocrhpi.reading.base import LineReader
    from ocrhpi.values import GraphPrecision, Head

__all__ = ["export_graphs", "open_engine", "open_reader"]


def open_reader(model: Model, setup: Setup, *, cache_dir: Path | str | None = None) -> LineReader:
    """Make ``setup`` ready to read; the reader owns its engines.

    Args:
        model: The model.
        setup: What is to run.
        cache_dir: Where exports are kept, as in `ocrhpi.cache.cache_root`.

    Raises:
        OcrhpiError: Any leaf of `ModelError`, `BackendError` or `OptionError`.
    """
    if isinstance(setup, Candidate):
        return open_engine(model, setup, cache_dir=cache_dir)
    first, second = _open_both(model, *_parts(setup), cache_dir=cache_dir)
    if isinstance(setup, Split):
        return SplitReader(first, second, up_to=setup.up_to)
    first.backend.rival_margin = setup.threshold
    return VerifiedReader(first, second, threshold=setup.threshold, break_even=setup.break_even)


def _open_both(
    model: Model, first: Candidate, second: Candidate, *, cache_dir: Path | str | None
) -> tuple[EngineReader, EngineReader]:
    one = open_engine(model, first, cache_dir=cache_dir)
    try:
        return one, open_engine(model, second, cache_dir=cache_dir)
    except BaseException:
        one.close()
        raise


def open_engine(model: Model, candidate: Candidate, *, cache_dir: Path | str | None = None) -> EngineReader:
    """Make one engine ready to read; arguments and errors are those of `open_reader`."""
    buckets = _buckets(candidate, model)
    options = candidate.options | _shape_option(candidate, model, buckets)
    # Made for its checks alone: what does not fit is refused before a long export.
    create_backend(candidate.backend, model, candidate.device, options)
    model = _with_graph(model, candidate, cache_dir)
    engine = create_backend(candidate.backend, model, candidate.device, options).open()
    masked = engine.masked
    if masked != (candidate.batching == "masked"):
        engine.close()
        problem = f"received {candidate.batching!r}, but the graph {model.files.onnx} is masked={masked}"
        raise OptionError("batching", problem)
    return EngineReader(
        model,
        engine,
        batching=candidate.batching,
        width_step=candidate.width_step,
        batch_size=candidate.batch_size,
        buckets=buckets,
    )


def export_graphs(model: Model, setup: Setup, *, cache_dir: Path | str | None = None) -> None:
    """Export the graphs that ``setup`` runs, where they are not cached; opens no engine for reading.

    Raises:
        OptionError: A backend runs no exported graph, but a form of it was asked for.
        ModelError: The model cannot be exported.
        BackendUnavailable: A package that exporting needs is not installed.
    """
    for candidate in _parts(setup):
        _with_graph(model, candidate, cache_dir)


def _parts(setup: Setup) -> tuple[Candidate, ...]:
    """Return the candidates that a setup is made of."""
    if isinstance(setup, Split):
        return setup.narrow, setup.wide
    return (setup.low, setup.full) if isinstance(setup, Verified) else (setup,)


def _with_graph(model: Model, candidate: Candidate, cache_dir: Path | str | None) -> Model:
    """Return the model with the ONNX graph that ``candidate`` runs; unchanged if its backend runs no ONNX."""
    masked, precision = candidate.batching == "masked", candidate.precision
    spec = backend_specs().get(candidate.backend)
    if spec is None or spec.onnx_head is None:
        if candidate.head is not None or masked or candidate.pixels:
            problem = f"the backend {candidate.backend!r} runs no exported graph; leave them out"
            raise OptionError("batching, head, pixels", problem)
        return model
    onnx_only = model.files.onnx is not None and model.files.paddle_graph is None
    if onnx_only and model.files.onnx and _is_our_export(model.files.onnx):
        return model  # made by `ocrhpi export`: it has its form already
    form = GraphForm(
        candidate.head or cast("Head", spec.onnx_head),
        masked=masked,
        precision=cast("GraphPrecision", precision) if precision in spec.graph_precisions else "fp32",
        pixels=candidate.pixels,
    )
    lowered = next((name for name in LOWERED if name == precision and spec.lowered_graphs), None)
    if onnx_only and form == GraphForm(form.head) and lowered is None and not can_export():
        return model  # runs as it came
    # How lines are stretched decides nothing about the graph: one export serves every input_shape.
    if lowered is None:
        exported = export_model(model.stretched(None), form, cache_dir=cache_dir)
    else:
        exported = lowered_model(model.stretched(None), form, lowered, candidate.backend, cache_dir=cache_dir)
    return replace(model, files=exported.files)


def _buckets(candidate: Candidate, model: Model) -> tuple[int, ...]:
    """Return the buckets, the last of which holds the widest line that the model's preprocessing makes."""
    spec = model.spec
    widest = spec.stretch_width or spec.max_width
    below = tuple(width for width in candidate.buckets if width < widest)
    beyond = tuple(width for width in candidate.buckets if width >= widest)
    return (*below, beyond[0] if beyond else widest) if candidate.buckets else ()


def _shape_option(candidate: Candidate, model: Model, buckets: Sequence[int]) -> dict[str, Any]:
    """Return the option by which an engine learns of the shapes to come; empty where it takes none."""
    spec = backend_specs().get(candidate.backend)
    if spec is None or not spec.shape_option or not buckets:
        return {}
    columns = candidate.batch_size * (model.spec.stretch_width or model.spec.base_width)
    return {"shapes": [(bucket_lines(width, columns), width) for width in buckets]}


def _is_our_export(onnx: Path) -> bool:
    return EXPORTER_KEY in read_onnx_metadata(onnx)
