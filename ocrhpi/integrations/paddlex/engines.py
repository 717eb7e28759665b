"""PaddleX's engines of ocrhpi: ``ocrhpi``, for text recognition, and the one that stands in for ``hpi``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paddlex.inference.models.engines import RunnerEngine
from paddlex.modules.text_recognition.model_list import MODELS
from paddlex.utils.device import get_default_device

from ocrhpi.errors import OptionError
from ocrhpi.integrations.paddlex.generic_models import OtherModelRunner
from ocrhpi.integrations.paddlex.recognizer import ReaderRunner
from ocrhpi.integrations.paddlex.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ocrhpi.integrations.paddlex.settings import Settings

_SETTINGS = "settings"


class OcrhpiEngine(RunnerEngine):  # type: ignore[misc] # PaddleX has no types
    """Text recognition with a `ocrhpi.reading.base.LineReader`; ``engine_config`` is `Settings`."""

    # Not by `entities`, as PaddleX's own: that registers for ever.

    @property
    def name(self) -> str:
        """Name of the engine."""
        return "ocrhpi"

    def get_supported_model_formats(self) -> tuple[str, ...]:
        """Return the formats of model files that it reads, the one to fetch first."""
        return ("paddle", "onnx")

    def prepare_config_dict(
        self, raw: Mapping[str, Any], *, model_name: str | None = None, device: str | None = None
    ) -> dict[str, Any]:
        """Check the options before a model is fetched.

        Raises:
            OptionError: An option is unknown or does not fit, or is for another model.
        """
        settings = read_settings(raw, device)
        named = settings.hpi.model_name
        if named is not None and model_name is not None and named != model_name:
            raise OptionError("hpi_config.model_name", f"received {named!r}, but the model is {model_name!r}")
        return {_SETTINGS: settings}

    def to_predictor_config(self, engine_config: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the predictor tells of its engine: the device."""
        kind, _, index = (engine_config[_SETTINGS].device or "cpu").partition(":")
        return {"device_type": kind, "device_id": int(index) if index else None}

    def get_default_runner_builder(self) -> Callable[..., Any]:
        """Return what builds a runner."""
        return self._build

    def validate_runner(self, runner: object) -> None:
        """Check a runner that another builder may have made.

        Raises:
            TypeError: It is not ours.
        """
        if not isinstance(runner, ReaderRunner | OtherModelRunner):
            raise TypeError(f"engine {self.name!r}: received a runner {type(runner).__name__}; expected one of ocrhpi")

    def _build(self, **model: Any) -> object:  # noqa: ANN401 - what PaddleX knows of it
        return ReaderRunner(model["model_dir"], model["engine_config"][_SETTINGS])


class HpiEngine(OcrhpiEngine):
    """High-performance inference of all models: text recognition as `OcrhpiEngine`, others as `OtherModelRunner`."""

    @property
    def name(self) -> str:
        """PaddleX's name of it."""
        return "hpi"

    def prepare_config_dict(
        self, raw: Mapping[str, Any], *, model_name: str | None = None, device: str | None = None
    ) -> dict[str, Any]:
        """Check the options; without a device it is PaddleX's, so that all models of a pipeline share it."""
        return super().prepare_config_dict(raw, model_name=model_name, device=device or get_default_device())

    def _build(self, **model: Any) -> object:  # noqa: ANN401
        if model["model_name"] in MODELS:
            return super()._build(**model)
        settings: Settings = model["engine_config"][_SETTINGS]
        return OtherModelRunner(model["model_name"], model["model_dir"], model["model_config"], settings)
