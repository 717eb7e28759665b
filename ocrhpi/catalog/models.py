"""The official text recognition models: their names and the figures PaddleOCR publishes for them.

The data is ``official_models.csv``. Its column ``times_source`` names the published table that the times of a
row are from, because the two tables were measured apart and must not be compared with each other:
``tutorial`` (the older one, also the source of all sizes and accuracies) or ``docs-3.x``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING

from ocrhpi.errors import UnknownModel

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class PublishedFigures:
    """What PaddleOCR publishes about a model; times are of the network alone, for one line.

    Attributes:
        storage_mb: Size of the model in megabytes.
        avg_accuracy_pct: Share of lines read without a fault, in percent; each family has its own test set.
        t4_normal_ms: Milliseconds on an NVIDIA T4 in normal mode.
        t4_high_performance_ms: Milliseconds on an NVIDIA T4 in high-performance mode.
        xeon_6271c_normal_ms: Milliseconds on a Xeon Gold 6271C in normal mode.
        xeon_6271c_high_performance_ms: Milliseconds on a Xeon Gold 6271C in high-performance mode.
        times_source: The table that the times are from: ``tutorial`` or ``docs-3.x``.
    """

    storage_mb: float
    avg_accuracy_pct: float
    t4_normal_ms: float
    t4_high_performance_ms: float
    xeon_6271c_normal_ms: float
    xeon_6271c_high_performance_ms: float
    times_source: str


@dataclass(frozen=True, slots=True)
class OfficialModel:
    """One official text recognition model.

    Attributes:
        name: Its official name, as in ``Global.model_name`` of its ``inference.yml``.
        has_onnx_package: Whether PaddlePaddle also publishes it as ONNX, as ``<name>_onnx``.
        published: The published figures; None for the newer models, which have none.
    """

    name: str
    has_onnx_package: bool
    published: PublishedFigures | None


@cache
def official_models() -> Mapping[str, OfficialModel]:
    """Return all official text recognition models, name -> model, in the order of the published table."""
    table = resources.files("ocrhpi.catalog").joinpath("official_models.csv").read_text(encoding="utf-8")
    models = (_model(row) for row in csv.DictReader(table.splitlines()))
    return MappingProxyType({model.name: model for model in models})


def official_model(name: str) -> OfficialModel:
    """Return the official model ``name``.

    Raises:
        UnknownModel: There is none of that name; the message suggests the nearest.
    """
    known = official_models()
    if name not in known:
        raise UnknownModel(name, known)
    return known[name]


def _model(row: Mapping[str, str]) -> OfficialModel:
    return OfficialModel(row["name"], row["onnx_package"] == "yes", _figures(row) if row["storage_mb"] else None)


def _figures(row: Mapping[str, str]) -> PublishedFigures:
    return PublishedFigures(
        storage_mb=float(row["storage_mb"]),
        avg_accuracy_pct=float(row["avg_accuracy_pct"]),
        t4_normal_ms=float(row["t4_normal_ms"]),
        t4_high_performance_ms=float(row["t4_high_performance_ms"]),
        xeon_6271c_normal_ms=float(row["xeon_6271c_normal_ms"]),
        xeon_6271c_high_performance_ms=float(row["xeon_6271c_high_performance_ms"]),
        times_source=row["times_source"],
    )
