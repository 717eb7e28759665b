"""The six families of recognizers, and which family, dictionary and vocabulary size each published model has."""

# mypy: disable-error-code=no-any-return
# Paddle does not say what calling a layer returns.
from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

import paddle
from paddle import nn
from paddle.nn import functional
from paddle.utils import unique_name

from benchmarks.reference_models.blocks import Backbone, Block, Pair
from benchmarks.reference_models.neck import Neck
from benchmarks.reference_models.rep_svtr import RepSvtr
from benchmarks.reference_models.scale import FULL, SMALL, Scale
from benchmarks.reference_models.svtr_v2 import SvtrV2
from benchmarks.reference_models.v3_mobile import V3Mobile
from benchmarks.reference_models.v4_mobile import V4Mobile
from benchmarks.reference_models.v4_server import V4Server
from benchmarks.reference_models.v5_server import V5Server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paddle import Tensor

__all__ = ["FAMILIES", "Family", "Recognizer", "build"]

_SMALLEST_OUTPUTS = 32


@dataclass(frozen=True)
class Family:
    """One architecture.

    Attributes:
        backbone: Makes the backbone at a scale.
        hidden: Features of a token within the neck.
        outputs: Features of a column that enters the classifier.
        kernel: Of the neck's outer convolutions.
    """

    backbone: Callable[[Scale], Backbone]
    hidden: int
    outputs: int
    kernel: Pair = (1, 3)


FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {
        "v3-mobile": Family(V3Mobile, hidden=120, outputs=64, kernel=(3, 3)),
        "v4-mobile": Family(V4Mobile, hidden=120, outputs=120),
        "v4-server": Family(V4Server, hidden=120, outputs=120),
        "v5-server": Family(V5Server, hidden=120, outputs=120),
        "svtrv2": Family(SvtrV2, hidden=256, outputs=256),
        "repsvtr": Family(RepSvtr, hidden=256, outputs=256),
    }
)


class Recognizer(Block):
    """From an image (N, 3, 48, W) to class probabilities (N, floor(ceil(W/4)/2), classes).

    Args:
        family: The architecture.
        scale: How much of it is built.
        classes: Classes with blank and space.
    """

    def __init__(self, family: Family, scale: Scale, classes: int) -> None:
        super().__init__()
        self.backbone = family.backbone(scale)
        # Fewer features than classes would leave many classes that never win.
        outputs = max(scale.channels(family.outputs), min(family.outputs, _SMALLEST_OUTPUTS))
        self.neck = Neck(self.backbone.outputs, scale.channels(family.hidden), outputs, family.kernel)
        self.head = nn.Linear(outputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the probabilities; every row sums to one."""
        return self._probabilities(x)

    # No layer branches on values, so Paddle need not translate its source: exporting is several times faster.
    @paddle.jit.not_to_static  # type: ignore[untyped-decorator,unused-ignore]
    def _probabilities(self, x: Tensor) -> Tensor:
        return functional.softmax(self.head(self.neck(self.backbone(x))), axis=2)


def build(family: str, *, scale: Literal["full", "small"] = "small", classes: int = 28) -> Recognizer:
    """Return a recognizer of ``family`` for inference, with Paddle's initial weights."""
    # Files hold the parameters in the order of their names, which count on from network to network otherwise.
    with unique_name.guard():
        network = Recognizer(FAMILIES[family], FULL if scale == "full" else SMALL, classes)
    network.eval()
    return network
