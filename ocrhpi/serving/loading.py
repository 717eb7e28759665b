"""Which model a server reads with, and how it is opened; plain values, so that replicas elsewhere open the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ocrhpi.hpi_config import read_hpi_config
from ocrhpi.loader import UNMEASURED_BATCH_SIZE, load_high_performance, load_predictor
from ocrhpi.options import Options

if TYPE_CHECKING:
    from ocrhpi.predictor import Predictor
    from ocrhpi.serving.options import ServingOptions
    from ocrhpi.tuning.progress import Watcher

__all__ = ["ServedModel", "open_model"]


class ServedModel(Options):
    """A model and how to run it.

    Attributes:
        model: Official name, directory of an exported model, or a bare ONNX file.
        use_hpip: High-performance mode, which measures the first time; else normal mode.
        hpi_config: Its configuration: a mapping, or the path of a YAML file or of a tuning.
        device: ``cpu``, ``gpu`` or ``gpu:INDEX``; None lets the mode choose.
        cpu_threads: CPU threads of the engine; None takes what the configuration says, else the usable cores.
    """

    model: str
    use_hpip: bool = True
    hpi_config: dict[str, Any] | str | None = None
    device: str | None = None
    cpu_threads: Annotated[int, Field(ge=1)] | None = None


def open_model(
    served: ServedModel, options: ServingOptions, watcher: Watcher = lambda _: None
) -> tuple[Predictor, ServingOptions]:
    """Open the predictor, and return it with the options, in which the batch size is settled.

    Args:
        served: The model.
        options: Of the server. Without a batch size, it is what was measured for this model, or 8.
        watcher: Is told of every step of a tuning.

    Raises:
        OcrhpiError: The model cannot be found, fetched or run, or a configuration does not fit.
    """
    is_path = Path(served.model).exists()
    name, directory = (None, served.model) if is_path else (served.model, None)
    if not served.use_hpip:
        threads = {} if served.cpu_threads is None else {"threads": served.cpu_threads}
        predictor = load_predictor(name, directory, device=served.device, backend_options=threads)
        return predictor, _with_batch_size(options)
    config = read_hpi_config(served.hpi_config)
    if served.cpu_threads is not None:
        config = config.model_copy(update={"cpu_threads": served.cpu_threads})
    predictor = load_high_performance(name, directory, device=served.device, hpi_config=config, watcher=watcher)
    return predictor, _with_batch_size(options) if config.forced else options


def _with_batch_size(options: ServingOptions) -> ServingOptions:
    """Text does not depend on the batch, so lines of equal width are put together although nobody measured it."""
    if options.batch_size is not None:
        return options
    return options.model_copy(update={"batch_size": UNMEASURED_BATCH_SIZE})
