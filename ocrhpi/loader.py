"""The wiring room: the one module that finds a model, opens a backend and puts both into a `Predictor`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ocrhpi.backends.registry import create_backend
from ocrhpi.catalog import fetch
from ocrhpi.errors import OptionError
from ocrhpi.model import load_model
from ocrhpi.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ocrhpi.model import Model
    from ocrhpi.values import InputSpec

__all__ = ["find_model", "load_predictor"]

NORMAL_MODE = "paddle"


def load_predictor(
    model_name: str | None = None,
    model_dir: Path | str | None = None,
    *,
    backend: str = NORMAL_MODE,
    device: str | None = None,
    backend_options: Mapping[str, Any] | None = None,
    input_shape: tuple[int, int, int] | None = None,
    sources: Sequence[str] | None = None,
) -> Predictor:
    """Find the model, open the backend, and return the predictor that owns it.

    Args:
        model_name: Official name; fetched into the cache if ``model_dir`` is not given.
        model_dir: Directory of an exported model, or a bare ONNX file.
        backend: Name of a registered backend.
        device: ``cpu``, ``gpu`` or ``gpu:INDEX``; None lets the backend choose.
        backend_options: Options of that backend.
        input_shape: (3, height, width) that every line is stretched to, instead of keeping its aspect ratio.
        sources: Where to fetch the model from, in order; None takes the default order.

    Raises:
        OcrhpiError: Any leaf of `ModelError`, `BackendError` or `OptionError`.
    """
    model = find_model(model_name, model_dir, sources=sources)
    if input_shape is not None:
        model = replace(model, spec=_stretched(model, input_shape))
    return Predictor(model, create_backend(backend, model, device, backend_options).open())


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
