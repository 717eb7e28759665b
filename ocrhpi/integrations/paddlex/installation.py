"""What is changed in PaddleX and PaddleOCR, and undone again; nothing else in them is touched.

Only versions are let in whose inner workings were looked at and tested.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

from ocrhpi.errors import MissingExtra
from ocrhpi.forks import RenewedLock
from ocrhpi.integrations.paddlex.patches import (
    HPI,
    Changes,
    config_source,
    effective_engine,
    init_arguments,
    parsed_arguments,
)
from ocrhpi.integrations.paddlex.settings import as_mapping

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

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
    from ocrhpi.integrations.paddlex.engines import OcrhpiEngine  # noqa: PLC0415 - imports PaddleX

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
    from ocrhpi.integrations.paddlex.engines import HpiEngine  # noqa: PLC0415

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
