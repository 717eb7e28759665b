"""The layers that several families share, as PaddleOCR's published inference graphs have them.

Shapes are (N, C, H, W) for maps and (N, L, C) for sequences; strides and kernels are (height, width).
"""

# mypy: disable-error-code=no-any-return
# Paddle does not say what calling a layer returns.
from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from paddle import nn
from paddle.nn import functional

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paddle import Tensor

__all__ = ["Attention", "Backbone", "Block", "ChannelGate", "Conv", "ConvNorm", "Pair", "to_map", "to_sequence"]

Pair = tuple[int, int]

_ACTIVATIONS: Final[Mapping[str, type[nn.Layer]]] = MappingProxyType(
    {"": nn.Identity, "relu": nn.ReLU, "hardswish": nn.Hardswish, "swish": nn.Swish, "gelu": nn.GELU}
)
_QKV = 3


class Block(nn.Layer):  # type: ignore[misc,unused-ignore]
    """The base of every layer here: the one place that inherits from Paddle, which may be untyped."""


class Backbone(Block):
    """From an image (N, 3, 48, W) to a feature (N, ``outputs``, 1, floor(ceil(W/4)/2)).

    Attributes:
        outputs: Channels of the feature.
    """

    outputs: int


class Conv(nn.Conv2D):  # type: ignore[misc,unused-ignore]
    """A convolution that keeps the size of the map, divided by the stride and rounded up."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | Pair,
        *,
        stride: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        # A kernel of even size has no middle, so the published graph leaves its padding to the framework.
        padding: Pair | Literal["SAME"] = (height // 2, width // 2) if height % 2 else "SAME"
        super().__init__(
            inputs,
            outputs,
            (height, width),
            stride=stride,
            padding=padding,
            groups=groups,
            bias_attr=None if bias else False,
        )


class ConvNorm(Block):
    """Convolution, batch norm, activation: (N, inputs, H, W) -> (N, outputs, H/stride, W/stride)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | Pair = 1,
        *,
        stride: int | Pair = 1,
        groups: int = 1,
        bias: bool = False,
        activation: str = "",
    ) -> None:
        super().__init__()
        self.conv = Conv(inputs, outputs, kernel, stride=stride, groups=groups, bias=bias)
        self.norm = nn.BatchNorm2D(outputs)
        self.activation = _ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated map."""
        return self.activation(self.norm(self.conv(x)))


class ChannelGate(Block):
    """Squeeze and excite: every channel times a factor in 0..1 computed from the means of all channels.

    Args:
        channels: Channels of the map.
        hidden: Channels of the hidden layer; 0 computes the factors by one layer.
        pool: Whether the mean is a pooling layer, else it is a reduction.
        hard: Whether the factor is a clipped line, else it is a sigmoid.
    """

    def __init__(self, channels: int, *, hidden: int, pool: bool, hard: bool) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2D(1) if pool else None
        self.hidden = nn.Sequential(Conv(channels, hidden, 1), nn.ReLU()) if hidden else nn.Identity()
        self.factor = Conv(hidden or channels, channels, 1)
        self.hard = hard

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with its channels weighed, of the same shape (N, channels, H, W)."""
        mean = self.pool(x) if self.pool else x.mean(axis=[2, 3], keepdim=True)
        factor = self.factor(self.hidden(mean))
        return x * (functional.hardsigmoid(factor, slope=0.1666667) if self.hard else functional.sigmoid(factor))


class Attention(Block):
    """Self-attention over a sequence (N, L, width), of the same shape.

    Args:
        width: Features of a token.
        heads: How many heads share them.
        scale_query: Whether the query is scaled, as the neck does, else its product with the key.
    """

    def __init__(self, width: int, heads: int, *, scale_query: bool) -> None:
        super().__init__()
        self.width, self.heads = width, heads
        self.scale_query = scale_query
        self.scale = float((width // heads) ** -0.5)
        self.qkv = nn.Linear(width, _QKV * width)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return what every token gathered from all tokens."""
        qkv = self.qkv(x).reshape([0, -1, _QKV, self.heads, self.width // self.heads]).transpose([2, 0, 3, 1, 4])
        query, key, value = qkv[0], qkv[1], qkv[2]
        if self.scale_query:
            scores = (query * self.scale).matmul(key.transpose([0, 1, 3, 2]))
        else:
            scores = query.matmul(key.transpose([0, 1, 3, 2])) * self.scale
        gathered = functional.softmax(scores, axis=-1).matmul(value)
        return self.project(gathered.transpose([0, 2, 1, 3]).reshape([0, -1, self.width]))


def to_sequence(x: Tensor) -> Tensor:
    """Return the map (N, C, H, W) as a sequence (N, H*W, C)."""
    return x.flatten(2).transpose([0, 2, 1])


def to_map(x: Tensor, channels: int, height: int, width: Tensor) -> Tensor:
    """Return the sequence (N, height*width, channels) as a map; the width is known at run time only."""
    return x.transpose([0, 2, 1]).reshape([0, channels, height, width])
