"""Bilinear resizing without OpenCV, and yet bit for bit its ``cv2.resize(..., interpolation=cv2.INTER_LINEAR)``.

OpenCV resizes uint8 in fixed point, across and then down. Along an axis from ``source`` to ``target`` pixels, with
``scale = 1 / (target / source)`` in float64, target pixel i lies at ``p = (i + 0.5) * scale - 0.5``, rounded to
float32; its taps are the source pixels ``floor(p)`` and ``floor(p) + 1``, its weights ``1 - f`` and ``f`` with the
fraction f of p, each times 2048 and rounded half to even (11 bits). With the sums h across (19 bits), rows join as

    (((b0 * (h0 >> 4)) >> 16) + ((b1 * (h1 >> 4)) >> 16) + 2) >> 2

which loses bits on the way, in OpenCV's scalar and vector code alike. Two peculiarities: taps beyond an end are moved
onto the last pixel, across with a fraction of 0, down with their fraction kept; and halving both sides exactly is the
mean of 2 x 2 pixels. On ARM, OpenCV may be built with kernels (KleidiCV, Carotene) that round otherwise; this gives the
bits of x86-64 everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from ocrhpi.values import Pixels

    Ints = npt.NDArray[np.int32]
    Positions = npt.NDArray[np.intp]
    Fractions = npt.NDArray[np.float32]

_ONE = np.float32(1 << 11)


def resize(image: Pixels, width: int, height: int) -> Pixels:
    """Resize an image.

    Args:
        image: (rows, columns, C), uint8, of any memory layout.
        width: Columns of the result.
        height: Rows of the result.

    Returns:
        (height, width, C), uint8; the image itself where it has that size.
    """
    rows, columns, channels = image.shape
    if (rows, columns) == (height, width):
        return image
    if (rows, columns) == (2 * height, 2 * width):
        return _halved(image)
    first, fractions = _places(rows, height)
    upper, lower = np.clip(first, 0, rows - 1), np.clip(first + 1, 0, rows - 1)
    # Of a tall image most rows are no tap of any row of the result.
    needed, where = np.unique(np.concatenate((upper, lower)), return_inverse=True)
    across = _across(image[needed], width) >> 4
    upper_weights, lower_weights = (weights[:, None] for weights in _weights(fractions))
    mixed = (across[where[:height]] * upper_weights) >> 16
    mixed += (across[where[height:]] * lower_weights) >> 16
    mixed += 2
    mixed >>= 2
    return mixed.astype(np.uint8).reshape(height, width, channels)


def _across(rows: Pixels, width: int) -> Ints:
    """Resize each row to ``width`` pixels; return the sums, (rows, width * C)."""
    count, columns, channels = rows.shape
    first, fractions = _places(columns, width)
    outside = (first < 0) | (first >= columns - 1)
    fractions[outside] = 0
    first = np.clip(first, 0, columns - 1)
    second = np.minimum(first + 1, columns - 1)
    # One long axis of pixels and channels: numpy's loops over an axis of three are slow.
    flat = rows.reshape(count, columns * channels)
    first_weights, second_weights = (np.repeat(weights, channels) for weights in _weights(fractions))
    sums = flat.take(_elements(first, channels), axis=1) * first_weights
    sums += flat.take(_elements(second, channels), axis=1) * second_weights
    return sums


def _places(source: int, target: int) -> tuple[Positions, Fractions]:
    """Return for each target pixel the first of its two taps, which may lie outside, and the fraction of its place."""
    scale = 1.0 / (target / source)
    places = ((np.arange(target) + 0.5) * scale - 0.5).astype(np.float32)
    floors = np.floor(places)
    return floors.astype(np.intp), places - floors


def _weights(fractions: Fractions) -> tuple[Ints, Ints]:
    first, second = np.rint((1 - fractions) * _ONE), np.rint(fractions * _ONE)
    return first.astype(np.int32), second.astype(np.int32)


def _elements(pixels: Positions, channels: int) -> Positions:
    return (pixels[:, None] * channels + np.arange(channels)).ravel()


def _halved(image: Pixels) -> Pixels:
    wide = image.astype(np.uint16)
    sums = wide[::2, ::2] + wide[::2, 1::2] + wide[1::2, ::2] + wide[1::2, 1::2]
    return ((sums + 2) >> 2).astype(np.uint8)
