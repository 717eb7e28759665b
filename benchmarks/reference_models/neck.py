"""The neck of every family, as PaddleOCR's published inference graphs of SVTR_LCNet and SVTR_HGNet have it."""

# mypy: disable-error-code=no-any-return
# Paddle does not say what calling a layer returns.
from __future__ import annotations

from typing import TYPE_CHECKING

import paddle
from paddle import nn

from benchmarks.reference_models.blocks import Attention, Block, ConvNorm, Pair, to_sequence

if TYPE_CHECKING:
    from paddle import Tensor

__all__ = ["Neck"]

_HEADS = 8
_DEPTH = 2
_SQUEEZE = 8


class Neck(Block):
    """Mixes the columns of the feature (N, channels, 1, T) into a sequence (N, T, outputs).

    Args:
        channels: Channels of the feature.
        hidden: Features of a token within the attention blocks.
        outputs: Features of a column in the result.
        kernel: Of the first convolution and of the one after the concatenation.
    """

    def __init__(self, channels: int, hidden: int, outputs: int, kernel: Pair) -> None:
        super().__init__()
        reduced = channels // _SQUEEZE
        self.hidden = hidden
        self.reduce = nn.Sequential(
            ConvNorm(channels, reduced, kernel, activation="swish"), ConvNorm(reduced, hidden, activation="swish")
        )
        self.blocks = nn.Sequential(*(_MixingBlock(hidden) for _ in range(_DEPTH)))
        self.norm = nn.LayerNorm(hidden, epsilon=1e-6)
        self.expand = ConvNorm(hidden, channels, activation="swish")
        self.merge = nn.Sequential(
            ConvNorm(2 * channels, reduced, kernel, activation="swish"), ConvNorm(reduced, outputs, activation="swish")
        )

    def forward(self, feature: Tensor) -> Tensor:
        """Return the sequence (N, T, outputs)."""
        tokens = self.norm(self.blocks(to_sequence(self.reduce(feature))))
        steps = paddle.shape(feature)[3]
        mixed = self.expand(tokens.reshape([0, 1, steps, self.hidden]).transpose([0, 3, 1, 2]))
        merged = self.merge(paddle.concat([feature, mixed], axis=1))
        return merged.squeeze(2).transpose([0, 2, 1])


class _MixingBlock(Block):
    """Attention and a two-layer perceptron, each after a layer norm and beside a residual: (N, T, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width, epsilon=1e-5)
        self.attention = Attention(width, _HEADS, scale_query=True)
        self.norm_perceptron = nn.LayerNorm(width, epsilon=1e-5)
        self.perceptron = nn.Sequential(nn.Linear(width, 2 * width), nn.Swish(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the mixed tokens, of the same shape."""
        x = x + self.attention(self.norm_attention(x))
        return x + self.perceptron(self.norm_perceptron(x))
