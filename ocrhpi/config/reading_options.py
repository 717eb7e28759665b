"""What reads, as a value that travels to other processes and machines: the model, the mode, the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ocrhpi.config.hpi_config import HpiConfig, read_hpi_config
from ocrhpi.errors import OptionError
from ocrhpi.model.source import ModelSource
from ocrhpi.options import DeviceName, Threads, parse_options
from ocrhpi.values import Batching, Head

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

AtLeastOne = Annotated[int, Field(ge=1)]


class ReadingOptions(ModelSource):
    """What reads.

    Attributes:
        use_hpip: High-performance mode: what was measured, or what ``hpi_config`` says. Else the engine below.
        hpi_config: Configuration of high-performance mode.
        device: ``cpu``, ``gpu`` or ``gpu:INDEX``; None lets the mode choose.
        threads: CPU threads of the engine; None takes what the configuration says, else the usable cores.
        batch_size: Most lines in one call of the engine; None takes what was measured and, where nothing was, 8.
        engine: Name of a registered backend; None: normal mode.
        engine_options: Its options, or those of Paddle, where that is normal mode.
        batching: See `ocrhpi.values.Batching`; without effect in high-performance mode.
        head: See `ocrhpi.values.Head`; likewise. None takes what suits the engine.
    """

    use_hpip: bool = True
    hpi_config: HpiConfig = HpiConfig()
    device: DeviceName | None = None
    threads: Threads | None = None
    batch_size: AtLeastOne | None = None
    engine: Annotated[str, Field(min_length=1)] | None = None
    engine_options: dict[str, Any] = Field(default_factory=dict)
    batching: Batching = "exact"
    head: Head | None = None

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

    def without_measuring(self) -> ReadingOptions:
        """Return the options of those who take what was measured for them, or run in normal mode."""
        return self.model_copy(update={"hpi_config": self.hpi_config.model_copy(update={"tune": "never"})})

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

    Args:
        model_name: As in `ocrhpi.model.ModelSource`; None takes that of the configuration.
        model_dir: As there.
        hpi_config: See `ocrhpi.config.hpi_config.HpiConfig`: a mapping, the path of a YAML file or of a tuning, or
            None.
        **others: Attributes of `ReadingOptions`.

    Raises:
        OptionError: An option is unknown or does not fit, or neither ``model_name`` nor ``model_dir`` is given.
    """
    config = hpi_config if isinstance(hpi_config, HpiConfig) else read_hpi_config(hpi_config)
    if model_name is None and model_dir is None:
        model_name = config.model_name
        if model_name is None:
            raise OptionError("model_name", "neither model_name nor model_dir is given; expected at least one")
    return parse_options(
        ReadingOptions, {"model_name": model_name, "model_dir": model_dir, "hpi_config": config, **others}
    )
