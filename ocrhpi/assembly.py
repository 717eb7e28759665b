"""A candidate made to run: its graph exported, its engine opened, its reader put together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from ocrhpi.backends.registry import backend_specs, create_backend
from ocrhpi.candidate import Candidate, Split
from ocrhpi.errors import OptionError
from ocrhpi.export.exporter import GraphForm, can_export, export_model
from ocrhpi.export.passes import EXPORTER_KEY
from ocrhpi.onnx_metadata import read_onnx_metadata
from ocrhpi.reading.engine import EngineReader
from ocrhpi.reading.split import SplitReader

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.candidate import Setup
    from ocrhpi.model import Model
    from ocrhpi.reading.base import LineReader
    from ocrhpi.values import Head

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
    if isinstance(setup, Split):
        narrow = open_engine(model, setup.narrow, cache_dir=cache_dir)
        try:
            return SplitReader(narrow, open_engine(model, setup.wide, cache_dir=cache_dir), up_to=setup.up_to)
        except BaseException:
            narrow.close()
            raise
    return open_engine(model, setup, cache_dir=cache_dir)


def open_engine(model: Model, candidate: Candidate, *, cache_dir: Path | str | None = None) -> EngineReader:
    """Make one engine ready to read; arguments and errors are those of `open_reader`."""
    # Made for its checks alone: what does not fit is refused before a long export.
    create_backend(candidate.backend, model, candidate.device, candidate.options)
    model = _with_graph(model, candidate, cache_dir)
    engine = create_backend(candidate.backend, model, candidate.device, candidate.options).open()
    if engine.masked != (candidate.batching == "masked"):
        engine.close()
        problem = f"received {candidate.batching!r}, but the graph {model.files.onnx} is masked={engine.masked}"
        raise OptionError("batching", problem)
    return EngineReader(
        model,
        engine,
        batching=candidate.batching,
        width_step=candidate.width_step,
        batch_size=candidate.batch_size,
    )


def export_graphs(model: Model, setup: Setup, *, cache_dir: Path | str | None = None) -> None:
    """Export the graphs that ``setup`` runs, where they are not cached; opens no engine for reading.

    Raises:
        OptionError: A backend runs no exported graph, but a form of it was asked for.
        ModelError: The model cannot be exported.
        BackendUnavailable: A package that exporting needs is not installed.
    """
    for candidate in (setup.narrow, setup.wide) if isinstance(setup, Split) else (setup,):
        _with_graph(model, candidate, cache_dir)


def _with_graph(model: Model, candidate: Candidate, cache_dir: Path | str | None) -> Model:
    """Return the model with the ONNX graph that ``candidate`` runs; unchanged if its backend runs no ONNX."""
    masked = candidate.batching == "masked"
    spec = backend_specs().get(candidate.backend)
    if spec is None or spec.onnx_head is None:
        if candidate.head is not None or masked:
            problem = f"the backend {candidate.backend!r} runs no exported graph; leave them out"
            raise OptionError("batching, head", problem)
        return model
    onnx_only = model.files.onnx is not None and model.files.paddle_graph is None
    if onnx_only and model.files.onnx and _is_our_export(model.files.onnx):
        return model  # made by `ocrhpi export`: it has its form already
    form = GraphForm(candidate.head or cast("Head", spec.onnx_head), masked=masked)
    if onnx_only and not masked and not can_export():
        return model  # runs as it came
    # How lines are stretched decides nothing about the graph: one export serves every input_shape.
    exported = export_model(model.stretched(None), form, cache_dir=cache_dir)
    return replace(model, files=exported.files)


def _is_our_export(onnx: Path) -> bool:
    return EXPORTER_KEY in read_onnx_metadata(onnx)
