"""``inference.yml``, as PaddleOCR writes it when it exports a model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from ocrhpi.data_files import read_bounded
from ocrhpi.errors import ModelFormatError
from ocrhpi.values import LARGEST_SIZE
from ocrhpi.yaml_files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_DECODERS = ("CTCLabelDecode", "DistillationCTCLabelDecode")
_RESIZING = ("RecResizeImg", "SVTRRecResizeImg")
_IMAGE_OPERATORS = ("DecodeImage", *_RESIZING, "NormalizeImage")
_NO_EFFECT = ("KeepKeys", "ToCHWImage")  # the tensor has that layout in any case
_TRAINING_ONLY = ("LabelEncode", "Aug")  # how names of operators end that make labels or vary the image
_COLORS = ("BGR", "RGB")
_CHANNELS = (1, 3)
_NORMALISATION = {"scale": 1 / 255, "mean": 0.5, "std": 0.5}


@dataclass(frozen=True)
class Configuration:
    """What the file says; None where it says nothing.

    Attributes:
        path: The file.
        name: ``Global.model_name``.
        vocabulary: ``PostProcess.character_dict``.
        use_space_char: Whether a space follows the vocabulary.
        color: Channel order that the network was trained on.
        shape: (channels, height, width) of images.
        stretch: Whether lines are stretched to that width, instead of being padded to it.
        one_width: Whether lines that are wider are squeezed to it.
        hpi: The section ``Hpi``.
    """

    path: Path
    name: str | None
    vocabulary: tuple[str, ...] | None
    use_space_char: bool | None
    color: Literal["BGR", "RGB"]
    shape: tuple[int, int, int] | None
    stretch: bool
    one_width: bool
    hpi: Mapping[str, Any]


def read_configuration(path: Path) -> Configuration:
    """Read ``inference.yml``.

    Raises:
        ModelFormatError: It holds something unknown; the error names the key.
    """
    config = _Sections.read(path)
    decoder = config.get("PostProcess.name", str)
    if decoder not in _DECODERS:
        raise config.error(
            "PostProcess.name", f"received {decoder!r:.60}; expected {' or '.join(map(repr, _DECODERS))}"
        )
    operators = _operators(config)
    resizing = next((name for name in _RESIZING if name in operators), None)
    shape = None if resizing is None else _shape(config, resizing, operators[resizing])
    padding = resizing is None or operators[resizing].get("padding", True)
    _check_normalisation(config, operators.get("NormalizeImage"))
    return Configuration(
        path=path,
        name=_name(config),
        vocabulary=_vocabulary(config),
        use_space_char=config.get("PostProcess.use_space_char", bool, needed=False),
        color=_color(config, operators, shape),
        shape=shape,
        stretch=not padding,
        one_width=resizing == "SVTRRecResizeImg",
        hpi=config.get("Hpi", dict, needed=False) or {},
    )


def _name(config: _Sections) -> str | None:
    name = config.get("Global.model_name", (str, int, float), needed=False)
    return None if name is None else str(name)


def _vocabulary(config: _Sections) -> tuple[str, ...] | None:
    vocabulary = config.get("PostProcess.character_dict", list, needed=False)
    for position, entry in enumerate(vocabulary or ()):
        if not isinstance(entry, str):
            raise config.error(
                f"PostProcess.character_dict[{position}]",
                f"received {entry!r:.60}; expected text (quote numbers and words such as yes, no and null)",
            )
    return None if vocabulary is None else tuple(vocabulary)


def _operators(config: _Sections) -> dict[str, dict[str, Any]]:
    """Return the operators that make the image, by name; the others belong to training."""
    key = "PreProcess.transform_ops"
    operators: dict[str, dict[str, Any]] = {}
    for position, operator in enumerate(config.get(key, list)):
        if not isinstance(operator, dict) or len(operator) != 1:
            raise config.error(
                f"{key}[{position}]", f"received {operator!r:.60}; expected one operator with its options"
            )
        ((name, options),) = operator.items()
        if name in _NO_EFFECT or str(name).endswith(_TRAINING_ONLY):
            continue
        if name not in _IMAGE_OPERATORS:
            problem = f"unknown operator {name!r:.60}; known are {', '.join(_IMAGE_OPERATORS)}, and those of training"
            raise config.error(f"{key}[{position}]", f"{problem}: take it out if it does not change the image")
        if not isinstance(options, dict | None):
            raise config.error(f"{key}.{name}", f"received {options!r:.60}; expected options")
        operators[name] = options or {}
    return operators


def _color(
    config: _Sections, operators: Mapping[str, Mapping[str, Any]], shape: tuple[int, int, int] | None
) -> Literal["BGR", "RGB"]:
    decoding = operators.get("DecodeImage")
    if decoding is None:
        raise config.error("PreProcess.transform_ops.DecodeImage", "missing; expected as PaddleOCR exports it")
    if decoding.get("channel_first"):
        raise config.error("PreProcess.transform_ops.DecodeImage.channel_first", "received true; expected false")
    mode = decoding.get("img_mode")
    if shape is not None and shape[0] == 1 and mode in {*_COLORS, "GRAY"}:
        return "BGR"  # of which grey is made
    if mode not in _COLORS:
        problem = f"received {mode!r:.60}; expected BGR or RGB, or an image_shape of one channel"
        raise config.error("PreProcess.transform_ops.DecodeImage.img_mode", problem)
    return cast("Literal['BGR', 'RGB']", mode)


def _shape(config: _Sections, operator: str, options: Mapping[str, Any]) -> tuple[int, int, int]:
    shape: Any = options.get("image_shape")
    sizes = isinstance(shape, list) and [type(size) for size in shape] == [int] * 3
    if not sizes or shape[0] not in _CHANNELS or not all(0 < size <= LARGEST_SIZE for size in shape):
        expected = f"expected [channels, height, width], 1 or 3 channels, up to {LARGEST_SIZE} pixels"
        problem = f"received {shape!r:.60}; {expected}"
        raise config.error(f"PreProcess.transform_ops.{operator}.image_shape", problem)
    return shape[0], shape[1], shape[2]


def _check_normalisation(config: _Sections, options: Mapping[str, Any] | None) -> None:
    """Let what `ocrhpi.recognition.tensors` does pass; a network that wants other values would read nothing."""
    for name, value in {} if options is None else _NORMALISATION.items():
        given = options.get(name, value) if options else value
        numbers = [_number(one) for one in (given if isinstance(given, list) else [given])]
        if not all(math.isclose(number, value, rel_tol=1e-3) for number in numbers):
            problem = (
                f"received {given!r:.60}; lines are normalised as (v / 255 - 0.5) / 0.5, and this network wants other"
            )
            raise config.error(f"PreProcess.transform_ops.NormalizeImage.{name}", f"{problem} values")


def _number(value: object) -> float:
    """Read a number, which PaddleOCR's configurations also write as ``1./255.``."""
    over, _, under = str(value).partition("/")
    try:
        return float(over) / float(under or 1)
    except (ValueError, ZeroDivisionError):
        return math.nan


class _Sections:
    """Access to ``inference.yml`` by dotted keys; every fault names the file and the key."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self.path = path
        self.content = content

    @classmethod
    def read(cls, path: Path) -> _Sections:
        try:
            content = read_yaml(read_bounded(path))
        except (OSError, ValueError) as error:
            raise ModelFormatError(path, "YAML", str(getattr(error, "strerror", None) or error)) from error
        if not isinstance(content, dict):
            raise ModelFormatError(path, "YAML", f"received {type(content).__name__}; expected sections")
        return cls(path, content)

    def error(self, key: str, problem: str) -> ModelFormatError:
        return ModelFormatError(self.path, key, problem)

    def get(self, key: str, kind: type | tuple[type, ...], *, needed: bool = True) -> Any:  # noqa: ANN401 - of kind
        value: Any = self.content
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        kinds = kind if isinstance(kind, tuple) else (kind,)
        expected = " or ".join(one.__name__ for one in kinds)
        if value is None:
            if needed:
                raise self.error(key, f"missing; expected {expected}")
            return None
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise self.error(key, f"received {type(value).__name__} {value!r:.60}; expected {expected}")
        return value
