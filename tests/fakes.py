"""A deterministic backend without an engine: the class at a time step is read off the pixels there."""

from __future__ import annotations

import numpy as np

from ocrhpi.backends.base import Backend, Effective
from ocrhpi.backends.registry import BackendSpec
from ocrhpi.values import Emissions, Tensor, Widths

STRIDE = 8


class StripeBackend(Backend):
    """Every 8 columns are one time step; its class is the mean brightness of them, scaled to the classes."""

    name = "stripes"

    def _open(self) -> Effective:
        return Effective(self.name, "1.0", "cpu", "fp32", 1)

    def _run(self, batch: Tensor, widths: Widths | None) -> Emissions:
        assert widths is None
        steps = batch.shape[3] // STRIDE
        columns = batch[..., : steps * STRIDE].reshape(*batch.shape[:3], steps, STRIDE)
        brightness = (columns.mean(axis=(1, 2, 4)) + 1) / 2
        indices = np.rint(brightness * (len(self.model.labels) - 1)).astype(np.int32)
        return Emissions(indices, np.full(indices.shape, 0.5, np.float32))

    def _close(self) -> None:
        pass


SPEC = BackendSpec("stripes", "tests.fakes:StripeBackend", ("numpy",), ("numpy",), "pip install stripes")
