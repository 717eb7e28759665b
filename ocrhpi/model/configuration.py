"""``inference.yml``, as PaddleOCR writes it when it exports a model, and vocabularies.

These come from dictionaries and metadata, and must fit the classes of the network.
"""

from __future__ import annotations

import math
import os.path
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from ocrhpi.data_files import read_bounded
from ocrhpi.errors import ModelFormatError, ModelNotFound
from ocrhpi.model.graph_facts import split_vocabulary
from ocrhpi.values import LARGEST_SIZE
from ocrhpi.yaml_files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
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


_RIGHT_TO_LEFT = ("R", "AL")  # bidirectional classes of Hebrew and of Arabic letters (UAX #9)
_SHARE = 5  # one letter of so many; vocabularies of other scripts hold none, those of these more than a third


def read_dictionary(path: Path) -> list[str]:
    """Return the entries of a dictionary file, one a line.

    Raises:
        ModelNotFound: There is no such file.
        ModelFormatError: It is no UTF-8 text, or cannot be read.
    """
    if not os.path.exists(path) or path.is_dir():  # noqa: PTH110 - which no name is too long for
        raise ModelNotFound(path, "a dictionary, one entry a line")
    try:
        return split_vocabulary(read_bounded(path).decode("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ModelFormatError(path, "dictionary", f"expected UTF-8 text, one entry a line ({error})") from error


def fit_classes(
    entries: Sequence[str], classes: int | None, path: Path, *, space: bool | None
) -> tuple[tuple[str, ...], bool]:
    """Return the vocabulary without what stands behind it by mistake, and whether a space was appended.

    PaddleOCR appends the space where the model was trained with ``use_space_char``, and an editor or a converter may
    have left empty entries at the end of the dictionary. The classes are blank, vocabulary, and space.

    Args:
        entries: The dictionary as it stands.
        classes: Of the network; None where its file does not say.
        path: The model, for messages.
        space: What the user says about the space; None: the classes decide, and where they are not known, there is one.

    Raises:
        ModelFormatError: It does not fit.
    """
    count = len(entries)
    while count and not entries[count - 1]:
        count -= 1
    shortened = tuple(entries[:count])
    spaces = (True, False) if space is None else (space,)
    if classes is None:
        return shortened, spaces[0]
    for appended in spaces:
        for vocabulary in (tuple(entries), shortened):
            if len(vocabulary) + 1 + appended == classes:
                return vocabulary, appended
    expected = " or ".join(str(count + 1 + appended) for appended in sorted(spaces))
    said = "" if space is None else f" with use_space_char {str(space).lower()}"
    raise ModelFormatError(
        path,
        "vocabulary",
        f"the network has {classes} classes, but its dictionary has {count} entries{said}, which with the blank makes "
        f"{expected}; the model and its dictionary do not belong together",
    )


def is_right_to_left(vocabulary: Sequence[str]) -> bool:
    """Whether a vocabulary is that of a right-to-left script, such as Arabic: at least a fifth of its letters are."""
    letters = [entry[0] for entry in vocabulary if entry and entry[0].isalpha()]
    written = sum(unicodedata.bidirectional(letter) in _RIGHT_TO_LEFT for letter in letters)
    return written > 0 and _SHARE * written >= len(letters)
