"""A deterministic backend without an engine that takes pixels; the plain one is `ocrhpi.testing.StripeBackend`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ocrhpi.testing import STRIDE, StripeBackend

if TYPE_CHECKING:
    from ocrhpi.model import Model
    from ocrhpi.values import Contents, Emissions, NetworkInput, Widths


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
