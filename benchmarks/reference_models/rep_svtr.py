"""The backbone of ch_RepSVTR_rec, after PaddleOCR's published graph, which keeps the branches of its token mixers."""

# mypy: disable-error-code=no-any-return
# Paddle does not say what calling a layer returns.
from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from paddle import nn

from benchmarks.reference_models.blocks import Backbone, Block, ChannelGate, Conv, ConvNorm

if TYPE_CHECKING:
    from paddle import Tensor

    from benchmarks.reference_models.scale import Scale

__all__ = ["RepSvtr"]


class _Stage(NamedTuple):
    """``pairs`` times a gated and an ungated block, then ``ungated`` more."""

    outputs: int
    pairs: int
    ungated: int = 0


_STAGES = (_Stage(96, pairs=1, ungated=1), _Stage(192, pairs=3), _Stage(384, pairs=1))


class RepSvtr(Backbone):
    """A patch embedding and thirteen blocks, each a token mixer and a channel mixer."""

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        channels = scale.channels(_STAGES[0].outputs)
        layers: list[nn.Layer] = [
            ConvNorm(3, channels // 2, 3, stride=2, activation="gelu"),
            ConvNorm(channels // 2, channels, 3, stride=2),
        ]
        for stage in _STAGES:
            outputs = scale.channels(stage.outputs)
            if outputs != channels:
                layers += [
                    ConvNorm(channels, channels, 3, stride=(2, 1), groups=channels),
                    ConvNorm(channels, outputs),
                    _ChannelMixer(outputs),
                ]
                channels = outputs
            for gate in [True, False] * scale.repeats(stage.pairs) + [False] * stage.ungated:
                layers.append(_BranchedConv(channels))
                if gate:
                    layers.append(ChannelGate(channels, hidden=channels // 4, pool=False, hard=False))
                layers.append(_ChannelMixer(channels))
        self.outputs = channels
        self.layers = nn.Sequential(*layers)
        self.pool = nn.AvgPool2D(kernel_size=(3, 2), stride=(3, 2))

    def forward(self, image: Tensor) -> Tensor:
        """Return the feature (N, outputs, 1, T)."""
        return self.pool(self.layers(image))


class _BranchedConv(Block):
    """Two depthwise convolutions and the input, summed and normalised: (N, channels, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.wide = ConvNorm(channels, channels, 3, groups=channels)
        self.narrow = Conv(channels, channels, 1, groups=channels)
        self.norm = nn.BatchNorm2D(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised sum, of the same shape."""
        return self.norm(self.wide(x) + self.narrow(x) + x)


class _ChannelMixer(Block):
    """Two pointwise convolutions beside a residual: (N, channels, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            ConvNorm(channels, 2 * channels, activation="gelu"), ConvNorm(2 * channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the mixed map, of the same shape."""
        return x + self.layers(x)
