"""The wiring room: the one module that finds a model, opens a backend and puts both into a `Predictor`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ocrhpi.assembly import UNMEASURED_BATCH_SIZE, open_reader
from ocrhpi.candidate import Candidate
from ocrhpi.catalog import fetch
from ocrhpi.errors import OptionError
from ocrhpi.hpi_config import HpiConfig, read_hpi_config
from ocrhpi.model import load_model
from ocrhpi.options import parse_options
from ocrhpi.predictor import Predictor
from ocrhpi.reading.fallback import FallbackReader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ocrhpi.candidate import Setup
    from ocrhpi.model import Model
    from ocrhpi.reading.base import LineReader
    from ocrhpi.tuning.progress import Watcher
    from ocrhpi.values import Batching, Head

__all__ = ["NORMAL_MODE", "UNMEASURED_BATCH_SIZE", "find_model", "load_high_performance", "load_predictor"]

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
        batching: Which widths lines get and which lines share a batch, see `ocrhpi.values.Batching`.
        head: Where top-1 is found, see `ocrhpi.values.Head`; None takes what suits the backend.
        input_shape: (3, height, width) that every line is stretched to, instead of keeping its aspect ratio.

    Raises:
        OcrhpiError: Any leaf of `ModelError`, `BackendError` or `OptionError`.
    """
    model = find_model(model_name, model_dir)
    if input_shape is not None:
        model = _stretched(model, input_shape)
    candidate = parse_options(
        Candidate,
        {
            "backend": backend,
            "device": device,
            "options": dict(backend_options or {}),
            "batching": batching,
            "head": head,
        },
    )
    return Predictor(open_reader(model, candidate))


def load_high_performance(
    model_name: str | None = None,
    model_dir: Path | str | None = None,
    *,
    device: str | None = None,
    hpi_config: HpiConfig | Mapping[str, Any] | Path | str | None = None,
    input_shape: tuple[int, int, int] | None = None,
    watcher: Watcher = lambda _: None,
) -> Predictor:
    """Find the model and what reads it fastest on this machine, measuring that if need be; return its predictor.

    If the winner cannot be loaded or fails later, the next in the order of the tuning reads on, down to normal mode.

    Args:
        model_name: Official name; fetched into the cache if ``model_dir`` is not given.
        model_dir: Directory of an exported model, or a bare ONNX file.
        device: ``cpu``, ``gpu`` or ``gpu:INDEX``; None takes a GPU that can be used, else the CPU.
        hpi_config: See `ocrhpi.hpi_config.HpiConfig`: a mapping, the path of a YAML file or of a tuning, or None.
        input_shape: As for `load_predictor`.
        watcher: Is told of every step of a tuning.

    Raises:
        OcrhpiError: Any leaf of `ModelError`, `BackendError`, `OptionError` or `TuningError`.
    """
    config = hpi_config if isinstance(hpi_config, HpiConfig) else read_hpi_config(hpi_config)
    model = find_model(model_name or config.model_name, model_dir)
    if input_shape is not None:
        model = _stretched(model, input_shape)
    if config.forced:
        return Predictor(open_reader(model, _forced(config, device), cache_dir=config.cache_dir))
    from ocrhpi.tuner import find_or_tune, made_before, plan  # noqa: PLC0415 - normal mode does without

    planned = plan(model, config, device)
    tuning = find_or_tune(planned, watcher) if config.tuned is None else made_before(planned, config.tuned)
    setups = [planned.entrants.baseline] if tuning is None else tuning.setups
    return Predictor(FallbackReader([(setup.name, _opener(model, setup, config)) for setup in setups]))


def _forced(config: HpiConfig, device: str | None) -> Candidate:
    assert config.backend is not None  # noqa: S101 - read_hpi_config() has checked
    threads = {} if config.cpu_threads is None else {"threads": config.cpu_threads}
    return Candidate(
        backend=config.backend,
        device=config.device or device,
        options={**threads, **config.backend_options},
        batching=config.batching or "exact",
        head=config.head,
    )


def _opener(model: Model, setup: Setup, config: HpiConfig) -> Callable[[], LineReader]:
    return partial(open_reader, model, setup, cache_dir=config.cache_dir)


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


def _stretched(model: Model, input_shape: tuple[int, int, int]) -> Model:
    channels, height, width = input_shape
    if channels != 3 or height != model.spec.height or width < 1:  # noqa: PLR2004
        raise OptionError("input_shape", f"received {input_shape}; {model.name} takes (3, {model.spec.height}, width)")
    return model.stretched(width)
