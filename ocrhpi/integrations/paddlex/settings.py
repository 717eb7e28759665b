"""The options of the engine ``ocrhpi``, as users give them: the keys of ``hpi_config``, and one of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ocrhpi.config.hpi_config import HpiConfig, read_hpi_config
from ocrhpi.errors import OptionError, nearest

Padding = Literal["batch", "line"]
"""Which width a line is padded to. ``batch``: to that of the widest line that PaddleX would put into its batch, so that
the text is PaddleX's to the letter at every batch size. ``line``: to its own, so that the text does not depend on its
neighbours; it is PaddleX's at batch size 1."""

PADDLE_SETTINGS = "paddle_static"
"""PaddleX's name of its engine for static graphs, and of the settings of it among those for several engines."""

_PADDINGS: tuple[Padding, ...] = get_args(Padding)


@dataclass(frozen=True)
class Settings:
    """How a model of PaddleX is to run.

    Attributes:
        hpi: The configuration of high-performance mode.
        padding: See `Padding`.
        device: ``cpu``, ``gpu:INDEX`` and the like, as PaddleX was told; None leaves it to ocrhpi.
        paddle: What PaddleX was told for Paddle Inference, where models run that ocrhpi does not.
    """

    hpi: HpiConfig = field(default_factory=HpiConfig)
    padding: Padding = "batch"
    device: str | None = None
    paddle: Mapping[str, Any] = field(default_factory=dict)


def read_settings(given: Mapping[str, Any], device: str | None = None) -> Settings:
    """Check the options.

    Args:
        given: Keys of `ocrhpi.config.hpi_config.HpiConfig`; ``padding``; and, from PaddleX itself, ``paddle_static``.
        device: As PaddleX spells it; of several (``gpu:0,1``) the first.

    Raises:
        OptionError: A key is unknown, with the nearest known one, or a value does not fit.
    """
    rest = dict(given)
    padding = rest.pop("padding", "batch")
    if padding not in _PADDINGS:
        known = " or ".join(map(repr, _PADDINGS))
        raise OptionError("padding", f"received {padding!r}; expected {known}.{nearest(str(padding), _PADDINGS)}")
    paddle = rest.pop(PADDLE_SETTINGS, {})
    device = device.partition(",")[0].lower() if device else None
    return Settings(read_hpi_config(rest), padding, device, paddle)


def as_mapping(hpi_config: object) -> dict[str, Any]:
    """Return ``hpi_config`` in any of its forms as a mapping, the one form that PaddleX hands down to its models.

    Args:
        hpi_config: A mapping; the path of a YAML file or of a finished tuning; PaddleX's own class; or None.

    Raises:
        OptionError: It is something else, or a file that cannot be read.
    """
    if isinstance(hpi_config, str | os.PathLike):
        return read_hpi_config(Path(hpi_config)).model_dump(exclude_unset=True)
    if hasattr(hpi_config, "model_dump"):
        of_paddlex: dict[str, Any] = hpi_config.model_dump(exclude_unset=True, by_alias=True)
        return of_paddlex
    if hpi_config is None or isinstance(hpi_config, Mapping):
        return dict(hpi_config or {})
    expected = "a mapping, the path of a YAML file, or None"
    raise OptionError("hpi_config", f"received {type(hpi_config).__name__} {hpi_config!r:.60}; expected {expected}")
