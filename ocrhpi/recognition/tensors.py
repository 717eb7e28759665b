"""Step 4: a batch of lines of equal padded width -> network input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.values import InputSpec, LineGeometry, PixelBatch, Pixels, Tensor

# (v / 255 - 0.5) / 0.5 in float32 for each of the 256 pixel values: one look-up gives the same bits as the
# three operations on the whole image, and is faster.
_NORMALISED = ((np.arange(256, dtype=np.float32) / 255 - np.float32(0.5)) / np.float32(0.5))[None]


def to_tensor(
    images: Sequence[Pixels], geometries: Sequence[LineGeometry], spec: InputSpec, *, rows: int | None = None
) -> Tensor:
    """Resize, normalise and pad a batch of lines.

    Args:
        images: N images, each (height, width, 3), uint8, BGR.
        geometries: Their N geometries; all have the same padded width W.
        spec: The model's input; gives H.
        rows: Rows R of the batch, at least N; those after the images are padding. None: N.

    Returns:
        (R, C, H, W), float32, C-contiguous; pixels in [-1, 1], padding 0 (mid grey), channels as ``spec.color``.
    """
    tensor = np.zeros((rows or len(images), spec.channels, spec.height, geometries[0].padded_width), np.float32)
    for row, image, geometry in zip(tensor[: len(images)], images, geometries, strict=True):
        resized = _resized(image, geometry, spec)
        normalised = cv2.LUT(resized, _NORMALISED).reshape(resized.shape)  # of grey, OpenCV drops the last axis
        channels = normalised[..., ::-1] if spec.color == "RGB" else normalised
        row[:, :, : geometry.resized_width] = channels.transpose(2, 0, 1)
    return tensor


def to_pixels(
    images: Sequence[Pixels], geometries: Sequence[LineGeometry], spec: InputSpec, *, rows: int | None = None
) -> PixelBatch:
    """Resize a batch of lines for a graph that normalises and pads; a quarter of the bytes of `to_tensor`.

    Args:
        images: As for `to_tensor`.
        geometries: As for `to_tensor`.
        spec: As for `to_tensor`.
        rows: As for `to_tensor`.

    Returns:
        (R, H, W, C), uint8, C-contiguous, channels as ``spec.color``; columns beyond a line's pixels are 0.
    """
    batch = np.zeros((rows or len(images), spec.height, geometries[0].padded_width, spec.channels), np.uint8)
    for row, image, geometry in zip(batch[: len(images)], images, geometries, strict=True):
        resized = _resized(image, geometry, spec)
        row[:, : geometry.resized_width] = resized[..., ::-1] if spec.color == "RGB" else resized
    return batch


def _resized(image: Pixels, geometry: LineGeometry, spec: InputSpec) -> Pixels:
    """Return (H, width, C): grey is made before, as PaddleOCR does, and of the luminance, as OpenCV weighs it."""
    pixels = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if spec.color == "GRAY" else image
    resized = cv2.resize(pixels, (geometry.resized_width, spec.height), interpolation=cv2.INTER_LINEAR)
    return resized.reshape(spec.height, geometry.resized_width, spec.channels).astype(np.uint8, copy=False)
