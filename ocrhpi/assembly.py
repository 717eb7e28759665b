"""A candidate made to run: its graph exported, its engine opened, its reader put together."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ocrhpi.backends.registry import backend_specs, create_backend
from ocrhpi.config.candidate import Candidate, Verified
from ocrhpi.errors import OptionError, OutputError
from ocrhpi.export.exporter import GraphForm, can_export, export_model
from ocrhpi.quantization.graphs import lowered_model
from ocrhpi.quantization.plan import LOWERED
from ocrhpi.reading.engine import EngineReader
from ocrhpi.reading.split import SplitReader
from ocrhpi.reading.verified import VerifiedReader
from ocrhpi.recognition.batching import most_rows, shapes_of, width_ladder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ocrhpi.config.candidate import ExecutionPlan
    from ocrhpi.model import Model
    from ocrhpi.reading.base import LineReader
    from ocrhpi.values import GraphPrecision, Head


UNMEASURED_BATCH_SIZE = 8
"""Lines a call for those who read many, where no tuning has said how many. The text does not depend on it."""


def open_reader(model: Model, setup: ExecutionPlan, *, cache_dir: Path | str | None = None) -> LineReader:
    """Make ``setup`` ready to read; the reader owns its engines.

    Args:
        model: The model.
        setup: What is to run.
        cache_dir: Where exports are kept, as in `ocrhpi.cache.cache_root`.

    Raises:
        OcrhpiError: Any leaf of `ModelError`, `BackendError` or `OptionError`.
    """
    if isinstance(setup, Candidate):
        return _open_candidate(model, setup, cache_dir)
    low, full = _open_both(*(partial(_open_candidate, model, one, cache_dir) for one in (setup.low, setup.full)))
    return VerifiedReader(low, full, threshold=setup.threshold, break_even=setup.break_even)


def _open_candidate(model: Model, candidate: Candidate, cache_dir: Path | str | None) -> LineReader:
    candidate = _for_one_width(candidate, model)
    ladder = _ladder(candidate, model)
    if candidate.batching != "split":
        return _open_engine(model, candidate, ladder, cache_dir)
    base = model.spec.stretch_width or model.spec.base_width
    wider = tuple(width for width in ladder if width > base) or ladder
    one, other = zip(_split(candidate), ((base,), wider), strict=True)
    narrow, wide = _open_both(*(partial(_open_engine, model, *part, cache_dir) for part in (one, other)))
    return SplitReader(narrow, wide, up_to=base)


def _open_both(first: Callable[[], LineReader], second: Callable[[], LineReader]) -> tuple[LineReader, LineReader]:
    one = first()
    try:
        return one, second()
    except BaseException:
        one.close()
        raise


def _open_engine(
    model: Model, candidate: Candidate, ladder: Sequence[int], cache_dir: Path | str | None
) -> EngineReader:
    options = model.own_precision | candidate.options | _shape_options(candidate, model, ladder)
    # Made for its checks alone: what does not fit is refused before a long export.
    create_backend(candidate.backend, model, candidate.device, options)
    model = _with_graph(model, candidate, cache_dir)
    engine = create_backend(candidate.backend, model, candidate.device, options).open()
    if candidate.batching == "masked" and not engine.masked:
        engine.close()
        raise OptionError("batching", f"received 'masked', but the graph {model.files.onnx} is not width-masked")
    return EngineReader(model, engine, batching=candidate.batching, batch_size=candidate.batch_size, ladder=ladder)


def export_graphs(model: Model, setup: ExecutionPlan, *, cache_dir: Path | str | None = None) -> None:
    """Export the graphs that ``setup`` runs, where they are not cached; opens no engine for reading.

    Raises:
        OptionError: A backend runs no exported graph, but a form of it was asked for.
        ModelError: The model cannot be exported.
        BackendUnavailable: A package that exporting needs is not installed.
    """
    for candidate in _engines(setup, model):
        _with_graph(model, candidate, cache_dir)


def _engines(setup: ExecutionPlan, model: Model) -> Iterator[Candidate]:
    """Yield the candidates of one engine each that a setup is made of."""
    for one in (setup.low, setup.full) if isinstance(setup, Verified) else (setup,):
        candidate = _for_one_width(one, model)
        yield from _split(candidate) if candidate.batching == "split" else (candidate,)


def _for_one_width(candidate: Candidate, model: Model) -> Candidate:
    """Return the candidate in the plain graph, where all lines get one width: in it they share batches as they are."""
    if model.spec.only_width is None or candidate.batching == "exact":
        return candidate
    return candidate.model_copy(update={"batching": "exact", "buckets": ()})


def _split(candidate: Candidate) -> tuple[Candidate, Candidate]:
    """Return what reads lines of the base width, and what reads the wider ones."""
    narrow = candidate.model_copy(update={"batching": "exact", "buckets": ()})
    return narrow, candidate.model_copy(update={"batching": "masked"})


def _with_graph(model: Model, candidate: Candidate, cache_dir: Path | str | None) -> Model:
    """Return the model with the ONNX graph that ``candidate`` runs; unchanged if its backend runs no ONNX."""
    masked, precision = candidate.batching == "masked", candidate.precision
    spec = backend_specs().get(candidate.backend)
    if spec is None or spec.onnx_head is None:
        if candidate.head is not None or masked or candidate.pixels:
            problem = f"the backend {candidate.backend!r} runs no exported graph; leave them out"
            raise OptionError("batching, head, pixels", problem)
        return model
    onnx_alone = model.files.onnx_alone
    if onnx_alone and not model.graph.plain:
        return model  # made by `ocrhpi export`: it has its form already
    form = GraphForm(
        candidate.head or cast("Head", spec.onnx_head),
        masked=masked,
        precision=cast("GraphPrecision", precision) if precision in spec.graph_precisions else "fp32",
        pixels=candidate.pixels,
    )
    lowered = next((name for name in LOWERED if name == precision and spec.lowered_graphs), None)
    runs_as_it_came = onnx_alone and form == GraphForm(form.head) and lowered is None
    if runs_as_it_came and not can_export():
        return model
    # How lines are stretched decides nothing about the graph: one export serves every input_shape.
    try:
        if lowered is None:
            exported = export_model(model.stretched(None), form, cache_dir=cache_dir)
        else:
            exported = lowered_model(model.stretched(None), form, lowered, candidate.backend, cache_dir=cache_dir)
    except OutputError:
        if runs_as_it_came:
            return model
        raise
    return replace(model, files=exported.files)


def _ladder(candidate: Candidate, model: Model) -> tuple[int, ...]:
    """Return the widths that lines are padded up to, the last of which holds the widest line; none in ``exact``."""
    spec = model.spec
    if spec.only_width is not None:
        return (spec.only_width,)
    if candidate.buckets:
        below = tuple(width for width in candidate.buckets if width < spec.max_width)
        beyond = tuple(width for width in candidate.buckets if width >= spec.max_width)
        return (*below, beyond[0] if beyond else spec.max_width)
    if candidate.batching == "exact":
        return ()
    narrowest = candidate.width_step if candidate.batching == "natural" else spec.base_width
    return width_ladder(candidate.width_step, narrowest, spec.max_width)


def _shape_options(candidate: Candidate, model: Model, ladder: Sequence[int]) -> dict[str, Any]:
    """Return the options by which an engine learns of the shapes to come; empty where it takes none."""
    spec = backend_specs().get(candidate.backend)
    if spec is None or not ladder:
        return {}
    base = model.spec.stretch_width or model.spec.base_width
    options: dict[str, Any] = {}
    if spec.shape_option and candidate.buckets:
        options["shapes"] = [(most_rows(width, candidate.batch_size * base), width) for width in ladder]
    if spec.shape_count_option:
        lines = max(candidate.batch_size, UNMEASURED_BATCH_SIZE)  # callers may ask for more than the candidate's
        options["shape_count"] = len(shapes_of(ladder, lines * base, model.spec.rows))
    return options
