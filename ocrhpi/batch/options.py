"""What reads the lines of a batch, as a value that travels to other processes and machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ocrhpi.errors import OptionError
from ocrhpi.hpi_config import HpiConfig, read_hpi_config
from ocrhpi.options import Options, parse_options

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["ReadingOptions", "reading_options"]

AtLeastOne = Annotated[int, Field(ge=1)]


class ReadingOptions(Options):
    """What reads.

    Attributes:
        model_name: Official name; fetched into the cache of each machine if ``model_dir`` is not given.
        model_dir: Directory of an exported model, or a bare ONNX file, on each machine.
        use_hpip: High-performance mode; else normal mode.
        hpi_config: Configuration of high-performance mode.
        device: ``cpu``, ``gpu`` or ``gpu:INDEX``; None lets the mode choose.
        threads: CPU threads of the engine; None takes what the configuration says, else the usable cores.
        batch_size: Most lines in one call of the engine; None takes what was measured and, where nothing was, 8.
    """

    model_name: str | None = None
    model_dir: str | None = None
    use_hpip: bool = True
    hpi_config: HpiConfig = HpiConfig()
    device: str | None = None
    threads: AtLeastOne | None = None
    batch_size: AtLeastOne | None = None

    @property
    def is_measured(self) -> bool:
        """Whether measuring decides what runs: not in normal mode, and not where the configuration says what does."""
        config = self.hpi_config
        return self.use_hpip and not config.forced and config.tuned is None and config.tune != "never"

    @property
    def config(self) -> HpiConfig:
        """The configuration, with the thread count where it says none; a finished tuning has its own."""
        config = self.hpi_config
        if self.threads is None or config.cpu_threads is not None or config.tuned is not None:
            return config
        return config.model_copy(update={"cpu_threads": self.threads})

    def plain(self) -> dict[str, Any]:
        """Return what was given, as JSON takes it; arguments of `reading_options`."""
        return self.model_dump(mode="json", exclude_unset=True)

    def without_measuring_anew(self) -> ReadingOptions:
        """Return the options of those who come after the one that measured."""
        if self.hpi_config.tune != "always":
            return self
        return self.model_copy(update={"hpi_config": self.hpi_config.model_copy(update={"tune": "auto"})})


def reading_options(
    model_name: str | None = None,
    model_dir: Path | str | None = None,
    *,
    hpi_config: HpiConfig | Mapping[str, Any] | Path | str | None = None,
    **others: Any,  # noqa: ANN401 - validated by ReadingOptions
) -> ReadingOptions:
    """Build the options; a configuration in a file is read here, so that it need not be where they travel to.

    Raises:
        OptionError: An option is unknown or does not fit, or neither ``model_name`` nor ``model_dir`` is given.
    """
    config = hpi_config if isinstance(hpi_config, HpiConfig) else read_hpi_config(hpi_config)
    if model_name is None and model_dir is None:
        model_name = config.model_name
        if model_name is None:
            raise OptionError("model_name", "neither model_name nor model_dir is given; expected at least one")
    given = {"model_name": model_name, "model_dir": None if model_dir is None else str(model_dir), **others}
    return parse_options(ReadingOptions, {**given, "hpi_config": config})
