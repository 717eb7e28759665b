"""The backbone of PP-OCRv4's and v5's mobile recognizers, after PaddleOCR's published graph (PPLCNetV3, 0.95)."""

# mypy: disable-error-code=no-any-return
# Paddle does not say what calling a layer returns.
from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from paddle import nn

from benchmarks.reference_models.blocks import Backbone, Block, ChannelGate, Conv, ConvNorm, Pair

if TYPE_CHECKING:
    from paddle import Tensor

    from benchmarks.reference_models.scale import Scale

__all__ = ["FoldedConv", "V4Mobile"]

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
    _Row(3, 240, (1, 2)),
    _Row(5, 240, repeats=4),
    _Row(5, 480, (2, 1), gate=True),
    _Row(5, 480, gate=True),
    _Row(5, 480, (2, 1)),
    _Row(5, 480),
)


class V4Mobile(Backbone):
    """Fourteen depthwise separable blocks whose batch norms and residuals are folded into biased convolutions."""

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        channels = scale.channels(_STEM)
        layers: list[nn.Layer] = [ConvNorm(3, channels, 3, stride=2)]
        for row in _ROWS:
            for _ in range(scale.repeats(row.repeats)):
                outputs = scale.channels(row.outputs)
                layers.append(FoldedConv(channels, channels, row.kernel, stride=row.stride, groups=channels))
                if row.gate:
                    layers.append(ChannelGate(channels, hidden=channels // 4, pool=True, hard=True))
                layers.append(FoldedConv(channels, outputs, 1))
                channels = outputs
        self.outputs = channels
        self.layers = nn.Sequential(*layers)
        self.pool = nn.AvgPool2D(kernel_size=(3, 2), stride=(3, 2))

    def forward(self, image: Tensor) -> Tensor:
        """Return the feature (N, outputs, 1, T)."""
        return self.pool(self.layers(image))


class FoldedConv(Block):
    """What is left of a multi-branch layer after export: convolution, affine, hard-swish, affine."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int | Pair = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = Conv(inputs, outputs, kernel, stride=stride, groups=groups)
        self.before = _Affine()
        self.activation = nn.Hardswish()
        self.after = _Affine()

    def forward(self, x: Tensor) -> Tensor:
        """Return the map (N, outputs, H/stride, W/stride)."""
        return self.after(self.activation(self.before(self.conv(x))))


class _Affine(Block):
    """One learned factor and one learned offset for the whole map."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = self.create_parameter([1], default_initializer=nn.initializer.Constant(1.0))
        self.bias = self.create_parameter([1], is_bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x + self.bias
