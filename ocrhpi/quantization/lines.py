"""Calibration lines as the model's own preprocessing gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrhpi.recognition.batching import plan_batches
from ocrhpi.recognition.geometry import line_geometry
from ocrhpi.recognition.tensors import to_tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.values import InputSpec, Pixels, Tensor

_BATCH = 8  # lines of base width


def line_tensors(lines: Sequence[Pixels], spec: InputSpec) -> list[Tensor]:
    """Return the lines as batches of equal exact width, (N, 3, H, W), float32."""
    geometries = [line_geometry(line.shape[1], line.shape[0], spec) for line in lines]
    plan = plan_batches([one.padded_width for one in geometries], _BATCH * spec.base_width, call_cost=0)
    return [
        to_tensor([lines[number] for number in batch.numbers], [geometries[number] for number in batch.numbers], spec)
        for batch in plan
    ]
