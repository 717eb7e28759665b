"""Step 4 without OpenCV: a batch of lines -> network input, the same bits as `ocrhpi.recognition.tensors`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ocrhpi.edge.resize import resize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.values import InputSpec, LineGeometry, Pixels, Tensor

__all__ = ["to_tensor"]


def to_tensor(
    images: Sequence[Pixels], geometries: Sequence[LineGeometry], shape: tuple[int, int], spec: InputSpec
) -> Tensor:
    """Resize, normalise and pad a batch of lines.

    Args:
        images: N images, each (height, width, 3), uint8, BGR.
        geometries: Their N geometries.
        shape: Rows R, at least N, and width W in pixels of the tensor; no line is wider.
        spec: The model's input; gives H.

    Returns:
        (R, 3, H, W), float32, C-contiguous; pixels in [-1, 1], padding 0, channels as ``spec.color``.
    """
    rows, width = shape
    tensor = np.zeros((rows, 3, spec.height, width), np.float32)
    for row, image, geometry in zip(tensor[: len(images)], images, geometries, strict=True):
        values = resize(image, geometry.resized_width, spec.height).astype(np.float32)
        # In this order, and each rounded to float32; without OpenCV's look-up, quicker than one of numpy's.
        values /= 255
        values -= 0.5
        values /= 0.5
        channels = values if spec.color == "BGR" else values[..., ::-1]
        row[:, :, : geometry.resized_width] = channels.transpose(2, 0, 1)
    return tensor
