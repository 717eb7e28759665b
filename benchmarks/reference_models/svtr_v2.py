"""The backbone of ch_SVTRv2_rec, after PaddleOCR's published graph."""

# mypy: disable-error-code=no-any-return
# Paddle does not say what calling a layer returns.
from __future__ import annotations

from typing import TYPE_CHECKING

import paddle
from paddle import nn

from benchmarks.reference_models.blocks import Attention, Backbone, Block, Conv, ConvNorm, to_map, to_sequence

if TYPE_CHECKING:
    from paddle import Tensor

    from benchmarks.reference_models.scale import Scale

__all__ = ["SvtrV2"]

_WIDTHS = (64, 128, 256, 384)
_HEAD_WIDTH = 32
_SMALLEST_HEAD_WIDTH = 8
_HEIGHTS = (12, 6, 3)
_CONV_BLOCKS = (6, 2)
_ATTENTION_BLOCKS = (4, 6)


class SvtrV2(Backbone):
    """Two stages of grouped convolutions, then one and a half of attention over all positions."""

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        embedded, *widths = map(scale.channels, _WIDTHS)
        self.middle, self.outputs = widths[1:]
        head = max(_HEAD_WIDTH // scale.divisor, _SMALLEST_HEAD_WIDTH)
        heads = [width // head for width in widths]
        self.embed = nn.Sequential(
            ConvNorm(3, embedded, 3, stride=2, bias=True, activation="gelu"),
            ConvNorm(embedded, widths[0], 3, stride=2, bias=True, activation="gelu"),
        )
        convolved, attended = (tuple(map(scale.repeats, counts)) for counts in (_CONV_BLOCKS, _ATTENTION_BLOCKS))
        self.stage_1 = nn.Sequential(*(_ConvBlock(widths[0], heads[0], _HEIGHTS[0]) for _ in range(convolved[0])))
        self.down_1 = _Down(widths[0], widths[1])
        self.stage_2a = nn.Sequential(*(_ConvBlock(widths[1], heads[1], _HEIGHTS[1]) for _ in range(convolved[1])))
        self.stage_2b = nn.Sequential(*(_AttentionBlock(widths[1], heads[1]) for _ in range(attended[0])))
        self.down_2 = _Down(widths[1], widths[2])
        self.stage_3 = nn.Sequential(*(_AttentionBlock(widths[2], heads[2]) for _ in range(attended[1])))
        self.pool = nn.AvgPool2D(kernel_size=(3, 2), stride=(3, 2))

    def forward(self, image: Tensor) -> Tensor:
        """Return the feature (N, outputs, 1, T)."""
        tokens, width = self.down_1(self.stage_1(self.embed(image)))
        x = self.stage_2a(to_map(tokens, self.middle, _HEIGHTS[1], width))
        x = to_map(self.stage_2b(to_sequence(x)), self.middle, _HEIGHTS[1], width)
        tokens, width = self.down_2(x)
        return self.pool(to_map(self.stage_3(tokens), self.outputs, _HEIGHTS[2], width))


class _ConvBlock(Block):
    """A grouped convolution in place of attention, then a perceptron, on a map (N, width, height, W)."""

    def __init__(self, width: int, groups: int, height: int) -> None:
        super().__init__()
        self.width, self.height = width, height
        self.mixer = Conv(width, width, 5, groups=groups)
        self.norm_mixer = nn.LayerNorm(width, epsilon=1e-6)
        self.perceptron = _perceptron(width)
        self.norm_perceptron = nn.LayerNorm(width, epsilon=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mixed map, of the same shape."""
        x = x + self.mixer(x)
        columns = paddle.shape(x)[3]
        tokens = self.norm_mixer(to_sequence(x))
        tokens = self.norm_perceptron(tokens + self.perceptron(tokens))
        return to_map(tokens, self.width, self.height, columns)


class _AttentionBlock(Block):
    """Attention and a perceptron, each followed by a layer norm of its sum: (N, L, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.mixer = Attention(width, heads, scale_query=False)
        self.norm_mixer = nn.LayerNorm(width, epsilon=1e-6)
        self.perceptron = _perceptron(width)
        self.norm_perceptron = nn.LayerNorm(width, epsilon=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mixed tokens, of the same shape."""
        x = self.norm_mixer(x + self.mixer(x))
        return self.norm_perceptron(x + self.perceptron(x))


class _Down(Block):
    """Halves the height of a map (N, inputs, H, W) and makes it the sequence (N, H/2*W, outputs)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = Conv(inputs, outputs, 3, stride=(2, 1))
        self.norm = nn.LayerNorm(outputs, epsilon=1e-5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sequence and the width of the map it was."""
        x = self.conv(x)
        return self.norm(to_sequence(x)), paddle.shape(x)[3]


def _perceptron(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
