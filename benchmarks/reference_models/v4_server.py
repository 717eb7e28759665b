"""The backbone of PP-OCRv4's server recognizers, after PaddleOCR's published graph (PPHGNet_small)."""

# mypy: disable-error-code=no-any-return
# Paddle does not say what calling a layer returns.
from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import paddle
from paddle import nn

from benchmarks.reference_models.blocks import Backbone, Block, ChannelGate, ConvNorm, Pair

if TYPE_CHECKING:
    from paddle import Tensor

    from benchmarks.reference_models.scale import Scale

__all__ = ["V4Server"]

_STEM = (64, 64, 128)
_CHAIN = 6


class _Stage(NamedTuple):
    middle: int
    outputs: int
    stride: Pair
    blocks: int = 1


_STAGES = (
    _Stage(128, 256, (2, 1)),
    _Stage(160, 512, (1, 2)),
    _Stage(192, 768, (2, 1), blocks=2),
    _Stage(224, 1024, (2, 1)),
)


class V4Server(Backbone):
    """A stem and four stages of blocks that concatenate all layers of a chain."""

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        layers: list[nn.Layer] = []
        channels, stride = 3, 2
        for published in _STEM:
            outputs = scale.channels(published)
            layers.append(ConvNorm(channels, outputs, 3, stride=stride, activation="relu"))
            channels, stride = outputs, 1
        for stage in _STAGES:
            layers.append(ConvNorm(channels, channels, 3, stride=stage.stride, groups=channels))
            for number in range(stage.blocks):
                outputs = scale.channels(stage.outputs)
                layers.append(_ChainBlock(channels, scale.channels(stage.middle), outputs, residual=number > 0))
                channels = outputs
        self.outputs = channels
        self.layers = nn.Sequential(*layers)
        self.pool = nn.AvgPool2D(kernel_size=(3, 2), stride=(3, 2))

    def forward(self, image: Tensor) -> Tensor:
        """Return the feature (N, outputs, 1, T)."""
        return self.pool(self.layers(image))


class _ChainBlock(Block):
    """Six convolutions in a chain, their input and outputs concatenated, reduced and gated: (N, outputs, H, W)."""

    def __init__(self, inputs: int, middle: int, outputs: int, *, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        widths = [inputs] + [middle] * _CHAIN
        self.chain = nn.LayerList(
            [ConvNorm(width, middle, 3, activation="relu") for width in widths[:-1]],
        )
        self.reduce = ConvNorm(sum(widths), outputs, activation="relu")
        self.gate = ChannelGate(outputs, hidden=0, pool=True, hard=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated map, plus ``x`` where the block has a residual."""
        maps = [x]
        for layer in self.chain:
            maps.append(layer(maps[-1]))
        gated = self.gate(self.reduce(paddle.concat(maps, axis=1)))
        return gated + x if self.residual else gated
