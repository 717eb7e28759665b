"""The backbone of PP-OCRv3's mobile recognizers, after PaddleOCR's published graph (MobileNetV1Enhance, 0.5)."""

# mypy: disable-error-code=no-any-return
# Paddle does not say what calling a layer returns.
from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from paddle import nn

from benchmarks.reference_models.blocks import Backbone, ChannelGate, ConvNorm, Pair

if TYPE_CHECKING:
    from paddle import Tensor

    from benchmarks.reference_models.scale import Scale

__all__ = ["V3Mobile"]

_STEM = 16


class _Row(NamedTuple):
    kernel: int
    outputs: int
    stride: int | Pair = 1
    gate: bool = False
    repeats: int = 1


_ROWS = (
    _Row(3, 32),
    _Row(3, 64),
    _Row(3, 64),
    _Row(3, 128, (2, 1)),
    _Row(3, 128),
    _Row(3, 256, (2, 1)),
    _Row(5, 256, repeats=5),
    _Row(5, 512, (2, 1), gate=True),
    _Row(5, 512, (1, 2), gate=True),
)


class V3Mobile(Backbone):
    """Thirteen depthwise separable blocks without residuals."""

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        channels = scale.channels(_STEM)
        layers: list[nn.Layer] = [ConvNorm(3, channels, 3, stride=2, activation="hardswish")]
        for row in _ROWS:
            for _ in range(scale.repeats(row.repeats)):
                outputs = scale.channels(row.outputs)
                layers.append(_separable(channels, outputs, row))
                channels = outputs
        self.outputs = channels
        self.layers = nn.Sequential(*layers)
        # The map is three rows high: the third is ignored, as in the published graph.
        self.pool = nn.AvgPool2D(kernel_size=2, stride=2)

    def forward(self, image: Tensor) -> Tensor:
        """Return the feature (N, outputs, 1, T)."""
        return self.pool(self.layers(image))


def _separable(inputs: int, outputs: int, row: _Row) -> nn.Sequential:
    depthwise = ConvNorm(inputs, inputs, row.kernel, stride=row.stride, groups=inputs, activation="hardswish")
    pointwise = ConvNorm(inputs, outputs, activation="hardswish")
    if not row.gate:
        return nn.Sequential(depthwise, pointwise)
    return nn.Sequential(depthwise, ChannelGate(inputs, hidden=inputs // 4, pool=True, hard=True), pointwise)
