"""A deterministic backend without an engine: the class at a time step is read off the pixels there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ocrhpi.backends.base import Backend, Effective
from ocrhpi.backends.registry import BackendSpec
from ocrhpi.values import Contents, Emissions, NetworkInput, Widths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocrhpi.model import Model

STRIDE = 8


class StripeBackend(Backend):
    """Every 8 columns are one time step; its class is the mean brightness of them, scaled to the classes."""

    name = "stripes"
    runs_on = "cpu"

    def __init__(self, model: Model, device: str | None = None, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(model, device, options)
        self.margins: set[float] = set()
        """All that were asked for."""

    def _open(self) -> Effective:
        return Effective(self.name, "1.0", self.runs_on, "fp32", 1)

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        assert (widths, contents) == (None, None)
        self.margins.add(margin)
        steps = batch.shape[3] // STRIDE
        columns = batch[..., : steps * STRIDE].reshape(*batch.shape[:3], steps, STRIDE)
        brightness = (columns.mean(axis=(1, 2, 4)) + 1) / 2
        indices = np.rint(brightness * (len(self.model.labels) - 1)).astype(np.int32)
        return Emissions(indices, np.full(indices.shape, 0.5, np.float32))

    def _close(self) -> None:
        pass


class PixelStripeBackend(StripeBackend):
    """The same of pixels; keeps what it was given."""

    name = "pixel-stripes"
    takes_pixels = True
    masked = True

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.requests: list[tuple[NetworkInput, Widths, Contents]] = []

    def _run(self, batch: NetworkInput, widths: Widths | None, contents: Contents | None, margin: float) -> Emissions:
        assert widths is not None
        assert contents is not None
        self.requests.append((batch, widths, contents))
        columns = np.arange(batch.shape[2])
        normalised = (batch.astype(np.float32) / 255 - 0.5) / 0.5 * (columns < contents[:, None])[:, None, :, None]
        emissions = super()._run(normalised.transpose(0, 3, 1, 2), None, None, margin)
        steps = widths // STRIDE
        emissions.indices[np.arange(emissions.indices.shape[1]) >= steps[:, None]] = 0
        return replace(emissions, steps=steps.astype(np.int32))


SPEC = BackendSpec("stripes", "tests.fakes:StripeBackend", ("numpy",), ("numpy",), "pip install stripes")
