"""Random weights that behave like trained ones: nothing to fold away, activations of unit scale, peaked output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import paddle
from paddle import nn

from benchmarks.reference_models.blocks import Attention
from benchmarks.reference_models.v4_mobile import FoldedConv

if TYPE_CHECKING:
    import numpy.typing as npt
    from paddle import Tensor

    from benchmarks.reference_models.families import Recognizer

__all__ = ["line_images", "set_weights"]

# Graph optimisers remove factors of one and offsets of zero, which trained networks do not have.
_NOISE = 0.2
# Random attention looks at everything alike, which makes the columns of an image alike: look sharper, add less.
_LOOK_GAIN, _ADD_GAIN = 1.5, 0.4
# Around zero every activation bends, and sixty bends blow up rounding errors as no trained network does.
_NORM_OFFSET = 1.0
_VARIANCE_FLOOR = 1e-5
_CALIBRATION_IMAGES = 4
_CALIBRATION_WIDTH = 320
_MEAN_TOP_PROBABILITY = 0.75
_CELL_HEIGHT, _CELL_WIDTH = 6, 5


def set_weights(network: Recognizer, *, seed: int = 0) -> None:
    """Give ``network`` weights drawn from ``seed`` and calibrated on images that look like lines of text."""
    rng = np.random.default_rng(seed)
    for parameter in network.state_dict().values():
        if parameter.ndim == 1:
            values = parameter.numpy() + rng.uniform(-_NOISE, _NOISE, parameter.shape)
        else:
            # Paddle keeps convolutions as (outputs, inputs, height, width) and matrices as (inputs, outputs).
            shape = parameter.shape
            fan_in = shape[0] if parameter.ndim == 2 else np.prod(shape[1:])  # noqa: PLR2004 - a matrix
            values = rng.normal(0.0, fan_in**-0.5, shape)
        parameter.set_value(values.astype(np.float32))
    for layer in network.sublayers():
        if isinstance(layer, Attention):
            layer.qkv.weight.set_value(layer.qkv.weight * _LOOK_GAIN)
            layer.project.weight.set_value(layer.project.weight * _ADD_GAIN)
        elif isinstance(layer, nn.BatchNorm2D):
            offset = layer.state_dict()["bias"]
            offset.set_value(offset.numpy() + np.float32(_NORM_OFFSET))
    _calibrate(network, paddle.to_tensor(line_images(_CALIBRATION_IMAGES, _CALIBRATION_WIDTH, seed=seed)))


def line_images(count: int, width: int, *, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return ``count`` images in -1..1 with random strokes of one colour on another: (count, 3, 48, width)."""
    rng = np.random.default_rng(seed)
    cells = rng.random((count, 1, 48 // _CELL_HEIGHT, width // _CELL_WIDTH + 1)) < 0.4  # noqa: PLR2004 - ink
    cells[:, :, [0, -1]] = False
    ink = cells.repeat(_CELL_HEIGHT, axis=2).repeat(_CELL_WIDTH, axis=3)[..., :width]
    dark = rng.uniform(-1.0, -0.2, (count, 3, 1, 1))
    light = rng.uniform(0.2, 1.0, (count, 3, 1, 1))
    noise = rng.normal(0.0, 0.05, (count, 3, 48, width))
    return np.clip(np.where(ink, dark, light) + noise, -1.0, 1.0).astype(np.float32)


def _calibrate(network: Recognizer, images: Tensor) -> None:
    # Paddle hands its hooks a tuple of inputs, which its annotations do not say.
    hooks = []
    for layer in network.sublayers():
        if isinstance(layer, nn.BatchNorm2D):
            hooks.append(layer.register_forward_pre_hook(_take_statistics))  # type: ignore[arg-type,unused-ignore]
        elif isinstance(layer, FoldedConv):
            hooks.append(layer.conv.register_forward_post_hook(_normalise))  # type: ignore[arg-type,unused-ignore]
    with paddle.no_grad():
        features = network.neck(network.backbone(images))
        _sharpen(network.head, network.head(features).numpy())
    for hook in hooks:
        hook.remove()


def _take_statistics(norm: nn.BatchNorm2D, inputs: tuple[Tensor]) -> None:
    """Make what arrives at ``norm`` its running statistics, before it is applied."""
    (x,) = inputs
    values = x.numpy()
    state = norm.state_dict()
    state["_mean"].set_value(values.mean(axis=(0, 2, 3)))
    state["_variance"].set_value(values.var(axis=(0, 2, 3)))


def _normalise(conv: nn.Conv2D, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    """Fold a batch norm with the statistics of ``output`` into ``conv``; return what it gives then."""
    del inputs
    values = output.numpy()
    mean = paddle.to_tensor(values.mean(axis=(0, 2, 3), keepdims=True))
    factor = paddle.to_tensor(1.0 / np.sqrt(values.var(axis=(0, 2, 3), keepdims=True) + _VARIANCE_FLOOR))
    conv.weight.set_value(conv.weight * factor.transpose([1, 0, 2, 3]))
    conv.bias.set_value((conv.bias - mean.flatten()) * factor.flatten() + _NORM_OFFSET)
    return (output - mean) * factor + _NORM_OFFSET


def _sharpen(head: nn.Linear, scores: npt.NDArray[np.float32]) -> None:
    """Scale the classifier so that the best class has the wanted probability on average.

    Args:
        head: The classifier.
        scores: What it gives before the softmax: (N, T, classes).
    """
    # Without its mean every class wins somewhere; with it a few classes would win everywhere.
    mean = scores.mean(axis=(0, 1))
    scores = (scores - mean).reshape(-1, scores.shape[-1])
    scores -= scores.max(axis=1, keepdims=True)
    low, high = 0.0, 1000.0 / float(scores.std())
    for _ in range(20):
        factor = (low + high) / 2
        top = float((1.0 / np.exp(scores * factor).sum(axis=1)).mean())
        low, high = (factor, high) if top < _MEAN_TOP_PROBABILITY else (low, factor)
    head.weight.set_value(head.weight * factor)
    head.bias.set_value((head.bias - paddle.to_tensor(mean)) * factor)
