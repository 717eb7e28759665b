"""A plan: which layers of a model stay in FP32, and all that was measured to find that; a plain YAML file."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import yaml
from pydantic import Field

from ocrhpi.backends.registry import availability, backend_specs
from ocrhpi.cache import cache_root
from ocrhpi.data_files import read_bounded
from ocrhpi.errors import OptionError
from ocrhpi.export.exporter import EXPORTER_VERSION
from ocrhpi.files import told_as_output, write_atomically
from ocrhpi.options import Options
from ocrhpi.yaml_files import read_yaml

if TYPE_CHECKING:
    from pathlib import Path

    from ocrhpi.model import Model

FORMAT: Final = "ocrhpi-precision-plan-1"

Lowered: TypeAlias = Literal["bf16-selective", "int8", "int8-selective"]
"""Precisions that a graph of ours brings about. ``int8``: all layers with weights; the selective ones leave layers in
FP32 that the text depends on most."""

LOWERED: tuple[Lowered, ...] = get_args(Lowered)

_HEADER = """\
# Which layers of a model compute in lower precision, and what was measured to find that; `kept` are those in FP32.
# Made by `ocrhpi lower`. Delete the file to have it made anew.
"""


class LayerReport(Options):
    """What was found out about a layer.

    Attributes:
        name: Its output tensor.
        operator: Its ONNX operator.
        work: Its share of the multiply-adds of all layers.
        shift: How far probabilities move when its group alone is lowered, see `ocrhpi.quantization.search.Effect`; None
            where that was not measured.
    """

    name: str
    operator: str
    work: float
    shift: float | None = None


class Step(Options):
    """One assignment of precisions that was read in full.

    Attributes:
        kept: How many layers are in FP32 of those that could be lowered.
        lowered: Share of the multiply-adds of all layers in lower precision.
        changed: Calibration lines whose text changed.
        shift: How far probabilities moved.
    """

    kept: int
    lowered: float
    changed: int
    shift: float


class PrecisionPlan(Options):
    """One plan, as its file holds it.

    Attributes:
        format: Kind and version of the file.
        precision: What the other layers compute in.
        model: Name of the model.
        key: Everything that makes the plan wrong when it changes.
        statistics: Digest of the layers' statistics, which are in a file beside this one; None without INT8.
        kept: Layers that stay in FP32 of those that could be lowered.
        lines: Calibration lines read.
        layers: All layers, in the order of the graph.
        steps: What was tried; the last one is this plan.
    """

    format: Literal["ocrhpi-precision-plan-1"] = FORMAT
    precision: Lowered
    model: str
    key: dict[str, Any]
    statistics: str | None = None
    kept: tuple[str, ...] = ()
    lines: int
    layers: tuple[LayerReport, ...]
    steps: tuple[Step, ...] = Field(default=())

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that change with what the graphs of this plan are."""
        facts = (self.format, self.precision, self.kept, self.statistics)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def write_plan(plan: PrecisionPlan, path: Path) -> None:
    """Write the file, whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    content = yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
    with told_as_output(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _HEADER + content)


def read_plan(path: Path) -> PrecisionPlan:
    """Read a file that `write_plan` wrote.

    Raises:
        OptionError: It cannot be read, or is no plan.
    """
    try:
        return PrecisionPlan.model_validate(read_yaml(read_bounded(path)), strict=False)
    except (OSError, ValueError) as error:  # pydantic's, too, is a ValueError
        reason = " ".join(str(error).split())[:300]
        problem = f"{path} is no plan of precisions ({reason}); make one with 'ocrhpi lower'"
        raise OptionError("precision", problem) from error


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
