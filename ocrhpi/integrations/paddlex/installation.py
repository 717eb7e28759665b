"""Install ocrhpi into PaddleX: the versions that it fits, the engines that it adds, and how to take it out again."""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

from paddlex.inference.models.engines import RunnerEngine
from paddlex.modules.text_recognition.model_list import MODELS
from paddlex.utils.device import get_default_device

from ocrhpi.errors import MissingExtra, OptionError
from ocrhpi.forks import RenewedLock
from ocrhpi.integrations.paddlex.generic_models import OtherModelRunner
from ocrhpi.integrations.paddlex.patches import (
    HPI,
    Changes,
    config_source,
    effective_engine,
    init_arguments,
    parsed_arguments,
)
from ocrhpi.integrations.paddlex.recognizer import ReaderRunner
from ocrhpi.integrations.paddlex.settings import as_mapping, read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ocrhpi.integrations.paddlex.settings import Settings

EXTRA = "paddleocr"

TESTED = ("3.5", "3.6", "3.7")
"""Minor versions of both. Before 3.5 PaddleX has no engines that one could add to."""

_PADDLEOCR = "paddleocr"


def check_versions() -> None:
    """Check PaddleX and, where it is installed, PaddleOCR.

    Raises:
        MissingExtra: PaddleX is not installed, or one of them is of a version that was not tested.
    """
    version = _version("paddlex")
    if version is None:
        raise MissingExtra(EXTRA, "PaddleX, on which PaddleOCR runs its models, is not installed")
    found = {"paddlex": version, _PADDLEOCR: _version(_PADDLEOCR)}
    for name, version in found.items():
        if version is not None and _minor(version) not in TESTED:
            known = ", ".join(f"{minor}.*" for minor in TESTED)
            raise MissingExtra(EXTRA, f"{name} {version} is installed, and ocrhpi was tested inside {known} only")


def has_paddleocr() -> bool:
    """Whether PaddleOCR is installed; PaddleX can be used without."""
    return _version(_PADDLEOCR) is not None


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


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


ENGINE = "ocrhpi"
"""Name of the engine."""

_PADDLEOCR_DOORS = ("paddleocr._models.base", "paddleocr._pipelines.base")

_lock = RenewedLock()
_made = Changes()


def install(
    *,
    replace_hpi: bool = False,
    by_default: bool = False,
    hpi_config: Mapping[str, Any] | Path | str | None = None,
) -> None:
    """Put ocrhpi into PaddleX, for all models that are opened from now on; what was installed before is undone.

    Args:
        replace_hpi: ``enable_hpi=True`` (PaddleX: ``use_hpip=True``) runs on ocrhpi, with ``hpi_config`` in force.
            False: the engine ``ocrhpi`` is there for those who ask for it, and nothing else changes.
        by_default: PaddleOCR takes ``enable_hpi`` for True where it is left out; needs ``replace_hpi``.
        hpi_config: Configuration of PaddleOCR's models that are given none; needs ``replace_hpi``.

    Raises:
        MissingExtra: PaddleX is not installed, or of a version that ocrhpi was not tested in.
        OptionError: ``hpi_config`` does not fit.
    """
    check_versions()
    default = as_mapping(hpi_config)
    changes = Changes()
    with _lock:
        _made.undo()
        try:
            _register(changes)
            if replace_hpi:
                _take_over(changes)
                if has_paddleocr():
                    _open_doors(changes, default, by_default=by_default)
        except (ImportError, AttributeError, KeyError) as error:
            changes.undo()
            reason = f"{type(error).__name__}: {error}"
            raise MissingExtra(
                EXTRA, f"this PaddleX is not made as those that ocrhpi was tested in ({reason})"
            ) from error
        except BaseException:
            changes.undo()
            raise
        _made.adopt(changes)


def uninstall() -> None:
    """Put everything back as it was. Models that are open stay as they are; doing it twice is fine."""
    with _lock:
        _made.undo()


def _register(changes: Changes) -> None:
    """Add the engine."""
    models, registry, engines, names = _paddlex()
    from ocrhpi.integrations.paddlex.installation import OcrhpiEngine  # noqa: PLC0415 - imports PaddleX

    changes.set_item(engines, ENGINE, OcrhpiEngine)
    _bind(changes, registry, names, ENGINE)
    # PaddleX remembers which engines there are.
    changes.call(models._get_inference_engine.cache_clear)  # noqa: SLF001 - there is no other way in
    changes.call(models._engine_config_bucket_key_allowlist.cache_clear)  # noqa: SLF001
    if has_paddleocr():
        arguments = importlib.import_module("paddleocr._common_args")
        changes.append(arguments.SUPPORTED_INFERENCE_ENGINE_LIST, ENGINE)


def _take_over(changes: Changes) -> None:
    """Stand in for PaddleX's high-performance inference."""
    models, registry, engines, names = _paddlex()
    from ocrhpi.integrations.paddlex.installation import HpiEngine  # noqa: PLC0415

    changes.set_item(engines, HPI, HpiEngine)
    _bind(changes, registry, names, HPI)
    source, choice = "_select_engine_config_source", "_resolve_effective_engine"
    changes.set_attribute(models, source, config_source(getattr(models, source), frozenset(engines)))
    changes.set_attribute(
        models,
        choice,
        effective_engine(getattr(models, choice), lambda name: HPI not in registry.get(name, {HPI: None})),
    )


def _open_doors(changes: Changes, default: Mapping[str, Any], *, by_default: bool) -> None:
    """Let PaddleOCR's constructors and command line take the options of high-performance mode."""
    for name in _PADDLEOCR_DOORS:
        door = importlib.import_module(name)
        changes.set_attribute(door, "parse_common_args", parsed_arguments(door.parse_common_args))
        prepare = init_arguments(door.prepare_common_init_args, default)
        changes.set_attribute(door, "prepare_common_init_args", prepare)
        if by_default:
            changes.set_attribute(door, "_DEFAULT_ENABLE_HPI", True)  # noqa: FBT003


def _bind(changes: Changes, registry: dict[str, dict[str, Any]], names: list[str], engine: str) -> None:
    from paddlex.inference.models.bindings import Binding  # noqa: PLC0415 - an optional extra

    from ocrhpi.integrations.paddlex.recognizer import Recognizer  # noqa: PLC0415

    for name in names:
        changes.set_item(registry[name], engine, Binding(predictor=Recognizer))


def _paddlex() -> tuple[Any, dict[str, dict[str, Any]], dict[str, Any], list[str]]:
    """Return the module of models, the registry of predictors, that of engines, and the text recognition models."""
    models = importlib.import_module("paddlex.inference.models")
    from paddlex.inference.models.bindings.registry import default_registry  # noqa: PLC0415
    from paddlex.inference.models.engines import InferenceEngine  # noqa: PLC0415
    from paddlex.modules.text_recognition.model_list import MODELS  # noqa: PLC0415

    return models, default_registry._registry, InferenceEngine.all(), list(MODELS)  # noqa: SLF001
