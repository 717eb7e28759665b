"""Step 4 without OpenCV: a batch of lines -> network input, the same bits as `ocrhpi.recognition.tensors`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ocrhpi.edge.resize import resize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.values import InputSpec, LineGeometry, Pixels, Tensor

_WEIGHTS = np.array([3735, 19235, 9798], np.int32)  # of blue, green and red


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
        (R, C, H, W), float32, C-contiguous; pixels in [-1, 1], padding 0, channels as ``spec.color``.
    """
    rows, width = shape
    tensor = np.zeros((rows, spec.channels, spec.height, width), np.float32)
    for row, image, geometry in zip(tensor[: len(images)], images, geometries, strict=True):
        pixels = _luminance(image) if spec.color == "GRAY" else image
        values = resize(pixels, geometry.resized_width, spec.height).astype(np.float32)
        # In this order, and each rounded to float32; without OpenCV's look-up, quicker than one of numpy's.
        values /= 255
        values -= 0.5
        values /= 0.5
        channels = values[..., ::-1] if spec.color == "RGB" else values
        row[:, :, : geometry.resized_width] = channels.transpose(2, 0, 1)
    return tensor


def _luminance(image: Pixels) -> Pixels:
    """Return (height, width, 1), as OpenCV's ``COLOR_BGR2GRAY`` rounds it: weights of 15 bits."""
    weighed = image.astype(np.int32) @ _WEIGHTS
    return ((weighed + (1 << 14)) >> 15).astype(np.uint8)[..., np.newaxis]
