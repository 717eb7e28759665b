"""Grids of candidates, as tests ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocrhpi.config.hpi_config import read_hpi_config
from ocrhpi.tuning.candidates import list_candidates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocrhpi.model import Model
    from ocrhpi.tuning.candidates import Grid


def grid_of(
    model: Model,
    device: str = "cpu",
    objective: str = "throughput",
    machine: Mapping[str, Any] | None = None,
    **asked: object,
) -> Grid:
    """What would be measured; ``asked`` are further keys of an hpi_config."""
    return list_candidates(model, device, read_hpi_config({"objective": objective, **asked}), machine)
