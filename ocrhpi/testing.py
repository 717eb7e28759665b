"""For tests of what reads: a backend without an engine, whose text is known from the pixels.

`StripeBackend` holds the contract as every backend does, so it serves as an example, too: docs/write_a_backend.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ocrhpi.backends.base import Backend, Effective
from ocrhpi.backends.registry import BackendSpec
from ocrhpi.values import Contents, Emissions, NetworkInput, Widths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocrhpi.model import Model

STRIDE = 8
"""Columns that make one time step."""


class StripeBackend(Backend):
    """Every 8 columns are one time step; its class is the mean brightness of them, scaled to the classes.

    Of plain graphs alone: the texts of lines depend on nothing but their pixels, whatever the weights of the model say.
    All probabilities are 0.5.

    Args:
        model: The model; its vocabulary names the classes.
        device: As of every backend; without effect.
        options: As of every backend; there are none.
    """

    name = "stripes"
    runs_on = "cpu"

    def __init__(self, model: Model, device: str | None = None, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(model, device, options)
        self.margins: set[float] = set()
        """All that were asked for."""

    def _open(self) -> Effective:
        return Effective(self.name, "1.0", self.runs_on, "fp32", 1)

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        assert (widths, contents) == (None, None)  # noqa: S101 - neither masked nor of pixels
        self.margins.add(margin)
        steps = batch.shape[3] // STRIDE
        columns = batch[..., : steps * STRIDE].reshape(*batch.shape[:3], steps, STRIDE)
        brightness = (columns.mean(axis=(1, 2, 4)) + 1) / 2
        indices = np.rint(brightness * (len(self.model.labels) - 1)).astype(np.int32)
        return Emissions(indices, np.full(indices.shape, 0.5, np.float32))

    def _close(self) -> None:
        pass


SPEC = BackendSpec("stripes", "ocrhpi.testing:StripeBackend", ("numpy",), ("numpy",), "pip install stripes")
"""What the registry knows of it; the version is numpy's."""
