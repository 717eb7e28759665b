"""The backbone of PP-OCRv5_server_rec, after PaddleOCR's published graph (PPHGNetV2_B4 for recognition)."""

# mypy: disable-error-code=no-any-return
# Paddle does not say what calling a layer returns.
from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import paddle
from paddle import nn

from benchmarks.reference_models.blocks import Backbone, Block, ConvNorm, Pair

if TYPE_CHECKING:
    from paddle import Tensor

    from benchmarks.reference_models.scale import Scale

__all__ = ["V5Server"]

_STEM = (32, 48)
_CHAIN = 6


class _Stage(NamedTuple):
    middle: int
    squeezed: int
    outputs: int
    stride: Pair
    kernel: int
    light: bool
    blocks: int = 1


_STAGES = (
    _Stage(48, 64, 128, (2, 1), 3, light=False),
    _Stage(96, 256, 512, (1, 2), 3, light=False),
    _Stage(192, 512, 1024, (2, 1), 5, light=True, blocks=3),
    _Stage(384, 1024, 2048, (2, 1), 5, light=True),
)


class V5Server(Backbone):
    """A two-branch stem and four stages of blocks that concatenate all layers of a chain."""

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        first, channels = map(scale.channels, _STEM)
        layers: list[nn.Layer] = [_Stem(first, channels)]
        for stage in _STAGES:
            layers.append(ConvNorm(channels, channels, 3, stride=stage.stride, groups=channels))
            # The first block of a stage has no residual, so a small stage keeps one block of either kind.
            for number in range(1 + scale.repeats(stage.blocks - 1)):
                layers.append(_ChainBlock(channels, stage, scale, residual=number > 0))
                channels = scale.channels(stage.outputs)
        self.outputs = channels
        self.layers = nn.Sequential(*layers)
        self.pool = nn.AvgPool2D(kernel_size=(3, 2), stride=(3, 2))

    def forward(self, image: Tensor) -> Tensor:
        """Return the feature (N, outputs, 1, T)."""
        return self.pool(self.layers(image))


class _Stem(Block):
    """Halves the image (N, 3, H, W) in two branches, one pooled and one convolved: (N, outputs, H/2, W/2)."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.first = ConvNorm(3, channels, 3, stride=2, activation="relu")
        self.convolved = nn.Sequential(
            ConvNorm(channels, channels // 2, 2, activation="relu"),
            ConvNorm(channels // 2, channels, 2, activation="relu"),
        )
        self.pooled = nn.MaxPool2D(kernel_size=2, stride=1, padding="SAME", ceil_mode=True)
        self.merge = nn.Sequential(
            ConvNorm(2 * channels, channels, 3, activation="relu"), ConvNorm(channels, outputs, activation="relu")
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return the merged branches."""
        x = self.first(image)
        convolved = self.convolved(x)
        return self.merge(paddle.concat([self.pooled(x), convolved], axis=1))


class _ChainBlock(Block):
    """Six layers in a chain, their input and outputs concatenated and reduced twice: (N, outputs, H, W)."""

    def __init__(self, inputs: int, stage: _Stage, scale: Scale, *, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        middle, squeezed, outputs = map(scale.channels, stage[:3])
        widths = [inputs] + [middle] * _CHAIN
        self.chain = nn.LayerList([_link(width, middle, stage) for width in widths[:-1]])
        self.reduce = nn.Sequential(
            ConvNorm(sum(widths), squeezed, activation="relu"), ConvNorm(squeezed, outputs, activation="relu")
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the reduced map, plus ``x`` where the block has a residual."""
        maps = [x]
        for layer in self.chain:
            maps.append(layer(maps[-1]))
        reduced = self.reduce(paddle.concat(maps, axis=1))
        return reduced + x if self.residual else reduced


def _link(inputs: int, outputs: int, stage: _Stage) -> nn.Layer:
    if not stage.light:
        return ConvNorm(inputs, outputs, stage.kernel, activation="relu")
    return nn.Sequential(
        ConvNorm(inputs, outputs), ConvNorm(outputs, outputs, stage.kernel, groups=outputs, activation="relu")
    )
