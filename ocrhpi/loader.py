"""The wiring room: the one module that finds a model, opens a backend and puts both into a `Predictor`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from ocrhpi.backends.registry import backend_specs, create_backend
from ocrhpi.catalog import fetch
from ocrhpi.errors import OptionError
from ocrhpi.export.exporter import GraphForm, can_export, export_model
from ocrhpi.export.heads import HEADS
from ocrhpi.export.passes import EXPORTER_KEY
from ocrhpi.model import load_model
from ocrhpi.onnx_metadata import read_onnx_metadata
from ocrhpi.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ocrhpi.model import Model
    from ocrhpi.values import Head, InputSpec

__all__ = ["NORMAL_MODE", "Batching", "find_model", "load_predictor"]

Batching = Literal["exact", "masked"]
NORMAL_MODE = "paddle"


def load_predictor(
    model_name: str | None = None,
    model_dir: Path | str | None = None,
    *,
    backend: str = NORMAL_MODE,
    device: str | None = None,
    backend_options: Mapping[str, Any] | None = None,
    batching: Batching = "exact",
    head: Head | None = None,
    input_shape: tuple[int, int, int] | None = None,
) -> Predictor:
    """Find the model, export it if the backend runs ONNX, open the backend, and return the predictor that owns it.

    Args:
        model_name: Official name; fetched into the cache if ``model_dir`` is not given.
        model_dir: Directory of an exported model, or a bare ONNX file.
        backend: Name of a registered backend.
        device: ``cpu``, ``gpu`` or ``gpu:INDEX``; None lets the backend choose.
        backend_options: Options of that backend.
        batching: ``exact``: only lines of equal width share a batch. ``masked``: lines of near width do, in a
            width-masked graph, which reads the same text in fewer and fuller batches.
        head: Where top-1 is found, see `ocrhpi.values.Head`; None takes what suits the backend.
        input_shape: (3, height, width) that every line is stretched to, instead of keeping its aspect ratio.

    Raises:
        OcrhpiError: Any leaf of `ModelError`, `BackendError` or `OptionError`.
    """
    model = find_model(model_name, model_dir)
    model = _with_graph(model, backend, batching, head)
    if input_shape is not None:
        model = replace(model, spec=_stretched(model, input_shape))
    engine = create_backend(backend, model, device, backend_options).open()
    if engine.masked != (batching == "masked"):
        engine.close()
        problem = f"received {batching!r}, but the graph {model.files.onnx} is masked={engine.masked}"
        raise OptionError("batching", problem)
    return Predictor(model, engine)


def _with_graph(model: Model, backend: str, batching: Batching, head: Head | None) -> Model:
    """Return the model with the ONNX graph that the backend is to run; unchanged if it runs no ONNX."""
    if batching not in get_args(Batching) or (head is not None and head not in HEADS):
        received = f"received batching={batching!r} and head={head!r}"
        raise OptionError("batching, head", f"{received}; expected one of {get_args(Batching)} and of {HEADS}")
    spec = backend_specs().get(backend)
    if spec is None or spec.onnx_head is None:
        if head is not None or batching == "masked":
            raise OptionError("batching, head", f"the backend {backend!r} runs no exported graph; leave them out")
        return model
    onnx_only = model.files.onnx is not None and model.files.paddle_graph is None
    if onnx_only and model.files.onnx and _is_our_export(model.files.onnx):
        return model  # made by `ocrhpi export`: it has its form already
    form = GraphForm(head or cast("Head", spec.onnx_head), masked=batching == "masked")
    if onnx_only and batching == "exact" and not can_export():
        return model  # runs as it came
    return export_model(model, form)


def _is_our_export(onnx: Path) -> bool:
    return EXPORTER_KEY in read_onnx_metadata(onnx)


def find_model(
    model_name: str | None = None,
    model_dir: Path | str | None = None,
    *,
    sources: Sequence[str] | None = None,
) -> Model:
    """Return the model of that directory, or the official model of that name, fetched if need be.

    Raises:
        OptionError: Neither is given, or ``model_name`` is not the name in the model's ``inference.yml``.
        ModelError: The model cannot be found, fetched or read.
    """
    if model_dir is None:
        if model_name is None:
            raise OptionError("model_name", "neither model_name nor model_dir is given; expected at least one")
        model_dir = fetch(model_name, sources=sources)
    model = load_model(model_dir)
    if model_name is not None and model_name != model.name:
        raise OptionError(
            "model_name",
            f"received {model_name!r}, but the model in {model.path} is {model.name!r}; leave it out",
        )
    return model


def _stretched(model: Model, input_shape: tuple[int, int, int]) -> InputSpec:
    channels, height, width = input_shape
    if channels != 3 or height != model.spec.height or width < 1:  # noqa: PLR2004
        raise OptionError("input_shape", f"received {input_shape}; {model.name} takes (3, {model.spec.height}, width)")
    return replace(model.spec, stretch_width=width)
