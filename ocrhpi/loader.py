"""The wiring room: the one module that finds a model, opens a backend and puts both into a `Predictor`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ocrhpi.assembly import UNMEASURED_BATCH_SIZE, open_reader
from ocrhpi.backends.registry import spec_of
from ocrhpi.catalog import fetch
from ocrhpi.config.candidate import Candidate
from ocrhpi.config.normal_mode import normal_mode
from ocrhpi.config.reading_options import ReadingOptions, reading_options
from ocrhpi.errors import OptionError
from ocrhpi.model import ModelSource, load_model
from ocrhpi.options import parse_options
from ocrhpi.predictor import Predictor
from ocrhpi.reading.fallback import FallbackReader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ocrhpi.config.candidate import ExecutionPlan
    from ocrhpi.config.hpi_config import HpiConfig
    from ocrhpi.model import Model
    from ocrhpi.reading.base import LineReader
    from ocrhpi.tuning.progress import OnProgress
    from ocrhpi.values import Batching, Head


def find_model(source: ModelSource | Path | str, *, sources: Sequence[str] | None = None) -> Model:
    """Return a model from disk, or the official model of a name, fetched if need be.

    Args:
        source: A path, an official name, or either with what the files of the model do not say. Of a text that is both,
            the path is taken.
        sources: Where to fetch it from, as in `ocrhpi.catalog.fetch`.

    Raises:
        OptionError: Neither a name nor a directory is given, or what is given contradicts the model.
        ModelError: The model cannot be found, fetched or read.
    """
    source = source.source if isinstance(source, ModelSource) else ModelSource.of(source)
    if source.model_dir is None:
        if source.model_name is None:
            raise OptionError("model_name", "neither model_name nor model_dir is given; expected at least one")
        fetched = fetch(source.model_name, sources=sources)
        source = source.model_copy(update={"model_dir": str(fetched)})
    return load_model(source)


def open_predictor(options: ReadingOptions, on_progress: OnProgress = lambda _: None) -> Predictor:
    """Find the model and open what is to read it: every entry point goes through here.

    In high-performance mode that is what reads fastest on this machine, which is measured if need be. If the winner
    cannot be loaded or fails later, the next in the order of the tuning reads on, down to normal mode. That also reads
    where nothing can be measured.

    Args:
        options: What is to read.
        on_progress: Is told of every step of a tuning.

    Raises:
        OcrhpiError: Any leaf of `ModelError`, `BackendError` or `OptionError`.
    """
    model = find_model(options)
    config = options.config
    if not options.use_hpip:
        return Predictor(open_reader(model, _candidate(model, options)))
    if config.forced:
        return Predictor(open_reader(model, _forced(config, options.device), cache_dir=config.cache_dir))
    from ocrhpi.tuner import made_before, plan, tuning_or_none  # noqa: PLC0415 - normal mode does without

    planned = plan(model, config, options.device)
    tuning = tuning_or_none(planned, on_progress) if config.tuned is None else made_before(planned, config.tuned)
    setups = [planned.grid.baseline] if tuning is None else tuning.setups
    return Predictor(FallbackReader([(setup.name, _opener(model, setup, config)) for setup in setups]))


def load_predictor(
    model_name: str | None = None,
    model_dir: Path | str | None = None,
    *,
    backend: str | None = None,
    device: str | None = None,
    backend_options: Mapping[str, Any] | None = None,
    batching: Batching = "exact",
    head: Head | None = None,
    **facts: Any,  # noqa: ANN401 - validated by ModelSource
) -> Predictor:
    """Find the model, export it if the backend runs ONNX, open the backend, and return the predictor that owns it.

    Args:
        model_name: Official name; fetched into the cache if ``model_dir`` is not given.
        model_dir: Directory of an exported model, or a bare ONNX file.
        backend: Name of a registered backend; None: normal mode, see `ocrhpi.config.normal_mode`.
        device: ``cpu``, ``gpu`` or ``gpu:INDEX``; None lets the backend choose.
        backend_options: Options of that backend.
        batching: Which widths lines get and which lines share a batch, see `ocrhpi.values.Batching`.
        head: Where top-1 is found, see `ocrhpi.values.Head`; None takes what suits the backend.
        **facts: What the files of the model do not say, and ``input_shape``, see `ocrhpi.model.ModelSource`.

    Raises:
        OcrhpiError: Any leaf of `ModelError`, `BackendError` or `OptionError`.
    """
    options = reading_options(
        model_name,
        model_dir,
        use_hpip=False,
        engine=backend,
        engine_options=dict(backend_options or {}),
        device=device,
        batching=batching,
        head=head,
        **facts,
    )
    return open_predictor(options)


def load_high_performance(
    model_name: str | None = None,
    model_dir: Path | str | None = None,
    *,
    device: str | None = None,
    hpi_config: HpiConfig | Mapping[str, Any] | Path | str | None = None,
    on_progress: OnProgress = lambda _: None,
    **facts: Any,  # noqa: ANN401 - validated by ModelSource
) -> Predictor:
    """Find the model and what reads it fastest on this machine, measuring that if need be; return its predictor.

    Args:
        model_name: Official name; fetched into the cache if ``model_dir`` is not given.
        model_dir: Directory of an exported model, or a bare ONNX file.
        device: ``cpu``, ``gpu`` or ``gpu:INDEX``; None takes a GPU that can be used, else the CPU.
        hpi_config: See `ocrhpi.config.hpi_config.HpiConfig`: a mapping, the path of a YAML file or of a tuning, or
            None.
        on_progress: Is told of every step of a tuning.
        **facts: As for `load_predictor`.

    Raises:
        OcrhpiError: Any leaf of `ModelError`, `BackendError` or `OptionError`.
    """
    options = reading_options(model_name, model_dir, hpi_config=hpi_config, device=device, **facts)
    return open_predictor(options, on_progress)


def batch_size_of(options: ReadingOptions) -> int | None:
    """Return the batch size to ask for where many lines are read; None takes the measured one.

    Text does not depend on the batch, so lines of equal width are put together although nobody measured it.
    """
    measured = options.use_hpip and not options.hpi_config.forced
    return options.batch_size or (None if measured else UNMEASURED_BATCH_SIZE)


def _candidate(model: Model, options: ReadingOptions) -> Candidate:
    """Return normal mode, or the engine that is asked for."""
    given = options.engine_options
    if options.engine is None:
        normal = normal_mode(model, options.device, threads=options.threads)
        if not (spec := spec_of(normal.backend)) or not spec.runs_paddle:
            given = {}  # they are Paddle's
        engine, threads = normal.backend, normal.options
    else:
        engine, spec = options.engine, spec_of(options.engine)
        threads = spec.with_threads(options.threads) if spec else {}
    return parse_options(
        Candidate,
        {
            "backend": engine,
            "device": options.device,  # as asked, even if it is refused: no other one takes its place unasked
            "options": {**threads, **given},
            "batching": options.batching,
            "head": options.head,
        },
    )


def _forced(config: HpiConfig, device: str | None) -> Candidate:
    assert config.backend is not None  # noqa: S101 - read_hpi_config() has checked
    spec = spec_of(config.backend)
    threads = spec.with_threads(config.cpu_threads) if spec else {}
    return Candidate(
        backend=config.backend,
        device=config.device or device,
        options={**threads, **config.backend_options},
        batching=config.batching or "exact",
        head=config.head,
    )


def _opener(model: Model, setup: ExecutionPlan, config: HpiConfig) -> Callable[[], LineReader]:
    return partial(open_reader, model, setup, cache_dir=config.cache_dir)
