"""Where plans are kept, and whether a kept one still holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocrhpi.backends.registry import availability, backend_specs
from ocrhpi.cache import cache_root
from ocrhpi.errors import OptionError
from ocrhpi.export.exporter import EXPORTER_VERSION
from ocrhpi.quantization.plan import read_plan

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.model import Model
    from ocrhpi.quantization.plan import Lowered, PrecisionPlan

PLANNER_VERSION = 1
"""Part of the key of plans; to be raised with every change of how they are found."""


def cache_path(model: Model, precision: Lowered, *, cache_dir: Path | str | None = None) -> Path:
    """Return the file of the plan; the graphs of a plan are in a folder beside it."""
    folder = cache_root(cache_dir) / "precision" / f"{model.file_name}-{_fingerprint(model)[:16]}"
    return folder / f"{precision}.yml"


def key_of(model: Model, engine: str) -> dict[str, Any]:
    """Return everything that makes a plan wrong when it changes.

    Args:
        model: The model.
        engine: Name of the backend that the plan is measured with.
    """
    return {
        "model": _fingerprint(model),
        "engine": engine,
        "engine_version": availability(backend_specs()[engine]).version,
        "exporter": EXPORTER_VERSION,
        "planner": PLANNER_VERSION,
    }


def find_plan(model: Model, precision: Lowered, *, cache_dir: Path | str | None = None) -> PrecisionPlan:
    """Return the kept plan of a model.

    Raises:
        OptionError: There is none, or it holds no more; the error says why, and how to make one.
    """
    path = cache_path(model, precision, cache_dir=cache_dir)
    hint = f"make it with: ocrhpi lower {model.path} --precision {precision}"
    if not path.is_file():
        raise OptionError("precision", f"{precision!r} needs a plan of which layers have it, and there is none; {hint}")
    plan = read_plan(path)
    engine = str(plan.key.get("engine"))
    now = key_of(model, engine) if engine in backend_specs() else {}
    stale = sorted(name for name in {**plan.key, **now} if plan.key.get(name) != now.get(name))
    if stale:
        raise OptionError("precision", f"the plan {path} is of another {', '.join(stale)}; {hint}")
    return plan


def _fingerprint(model: Model) -> str:
    """Return the model's; how lines are stretched decides nothing about its graph."""
    return (model if model.spec.stretch_width is None else model.stretched(None)).fingerprint
