"""A model directory, as PaddleOCR exports it, read into a `Model`: files, input, vocabulary, fingerprint."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ocrhpi.errors import ModelFormatError, ModelNotFound
from ocrhpi.onnx_metadata import read_onnx_metadata
from ocrhpi.values import InputSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Model", "ModelFiles", "load_model"]

CONFIG_NAME = "inference.yml"
PARAMETERS_NAME = "inference.pdiparams"
GRAPH_NAMES = ("inference.json", "inference.pdmodel")  # as Paddle itself: PIR wins where both are present
ONNX_NAME = "inference.onnx"
VOCABULARY_METADATA_KEY = "character"
NAME_METADATA_KEY = "model_name"

# Operators of PreProcess.transform_ops. The last two prepare labels for training; inference skips them.
_TRANSFORMS = ("DecodeImage", "RecResizeImg", "MultiLabelEncode", "KeepKeys")
_CHANNELS = 3
# PaddleX passes the text of exactly these models through the bidirectional algorithm.
_RIGHT_TO_LEFT = ("arabic_PP-OCRv3_mobile_rec", "arabic_PP-OCRv5_mobile_rec")


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model; at least ``onnx`` or both Paddle files are present.

    Attributes:
        paddle_graph: ``inference.json`` (PIR) or ``inference.pdmodel``.
        paddle_parameters: ``inference.pdiparams``.
        onnx: ``inference.onnx``, or the bare ONNX file.
    """

    paddle_graph: Path | None = None
    paddle_parameters: Path | None = None
    onnx: Path | None = None

    @property
    def source(self) -> tuple[Path, ...]:
        """The files that define the weights: Paddle's where present, since ONNX is made from them."""
        if self.paddle_graph and self.paddle_parameters:
            return (self.paddle_graph, self.paddle_parameters)
        return (self.onnx,) if self.onnx else ()


@dataclass(frozen=True)
class Model:
    """A text recognition model on disk.

    Attributes:
        name: Its ``Global.model_name``.
        path: The directory, or the bare ONNX file.
        files: Its files.
        spec: Its input.
        vocabulary: Its characters without blank and space; an entry may be several code points.
        hpi: The section ``Hpi`` of ``inference.yml`` as it stands there.
    """

    name: str
    path: Path
    files: ModelFiles
    spec: InputSpec
    vocabulary: tuple[str, ...]
    hpi: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Text of every class: the CTC blank (empty), the vocabulary, and the space that PaddleOCR appends."""
        return ("", *self.vocabulary, " ")

    @property
    def right_to_left(self) -> bool:
        """Whether the network emits a right-to-left script as it stands in the image, from left to right."""
        return self.name in _RIGHT_TO_LEFT

    def stretched(self, width: int | None) -> Model:
        """Return the model with every line stretched to ``width`` pixels; None keeps the aspect ratio of lines."""
        return replace(self, spec=replace(self.spec, stretch_width=width))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, as hex, of everything that decides which text is read: weights, input and vocabulary."""
        digest = hashlib.sha256()
        for file in self.files.source:
            digest.update(_sha256_of(file))
        for text in (repr(self.spec), "\0".join(self.labels)):
            digest.update(hashlib.sha256(text.encode()).digest())
        return digest.hexdigest()


def _sha256_of(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.digest()


def load_model(path: Path | str) -> Model:
    """Read the model directory, or the bare ONNX file, ``path``.

    Raises:
        ModelNotFound: The directory or a file it needs is missing.
        ModelFormatError: A file holds something unknown; the error names the file and the key.
    """
    path = Path(path)
    if path.is_file():
        return _from_onnx_metadata(path, path)
    if not path.is_dir():
        raise ModelNotFound(path, "a model directory or an ONNX file")
    files = _find_files(path)
    config = path / CONFIG_NAME
    if config.is_file():
        return _from_config(path, files, _Config.read(config))
    if files.onnx and not files.paddle_graph:
        return _from_onnx_metadata(path, files.onnx)
    raise ModelNotFound(config, "the configuration that PaddleOCR writes when it exports a model")


def _find_files(directory: Path) -> ModelFiles:
    onnx = directory / ONNX_NAME
    graph = next((directory / name for name in GRAPH_NAMES if (directory / name).is_file()), None)
    parameters = directory / PARAMETERS_NAME
    if graph is None and not onnx.is_file():
        raise ModelNotFound(directory, f"{GRAPH_NAMES[0]} or {GRAPH_NAMES[1]} with {PARAMETERS_NAME}, or {ONNX_NAME}")
    if graph is not None and not parameters.is_file():
        raise ModelNotFound(parameters, f"the parameters that belong to {graph.name}")
    return ModelFiles(
        paddle_graph=graph,
        paddle_parameters=parameters if graph else None,
        onnx=onnx if onnx.is_file() else None,
    )


def _from_onnx_metadata(path: Path, onnx: Path) -> Model:
    metadata = read_onnx_metadata(onnx)
    characters = metadata.get(VOCABULARY_METADATA_KEY)
    if not characters:
        raise ModelFormatError(
            onnx,
            f"metadata.{VOCABULARY_METADATA_KEY}",
            f"missing; expected the vocabulary, one entry a line, or a {CONFIG_NAME} beside the file",
        )
    # Not splitlines(): vocabularies hold characters that Python takes for line ends, such as U+2028.
    vocabulary = characters.removesuffix("\n").split("\n")
    return Model(
        name=metadata.get(NAME_METADATA_KEY) or (onnx.stem if path == onnx else path.name),
        path=path,
        files=ModelFiles(onnx=onnx),
        spec=InputSpec(),
        vocabulary=tuple(entry.removesuffix("\r") for entry in vocabulary),
    )


def _from_config(path: Path, files: ModelFiles, config: _Config) -> Model:
    decoder = config.get("PostProcess.name", str)
    if decoder != "CTCLabelDecode":
        raise config.error("PostProcess.name", f"received {decoder!r}; expected 'CTCLabelDecode'")
    vocabulary = config.get("PostProcess.character_dict", list)
    for position, entry in enumerate(vocabulary):
        if not isinstance(entry, str):
            raise config.error(
                f"PostProcess.character_dict[{position}]",
                f"received {entry!r}; expected text (quote numbers and words such as yes, no and null)",
            )
    return Model(
        name=config.get("Global.model_name", str),
        path=path,
        files=files,
        spec=_input_spec(config),
        vocabulary=tuple(vocabulary),
        hpi=config.get("Hpi", dict, default={}),
    )


def _input_spec(config: _Config) -> InputSpec:
    key = "PreProcess.transform_ops"
    operators: dict[str, Any] = {}
    for position, operator in enumerate(config.get(key, list)):
        if not isinstance(operator, dict) or len(operator) != 1:
            raise config.error(f"{key}[{position}]", f"received {operator!r}; expected one operator with its options")
        (name,) = operator
        if name not in _TRANSFORMS:
            raise config.error(f"{key}[{position}]", f"unknown operator {name!r}; known are {', '.join(_TRANSFORMS)}")
        operators[name] = operator[name] or {}
    for name in ("DecodeImage", "RecResizeImg"):
        if not isinstance(operators.get(name), dict):
            raise config.error(f"{key}.{name}", "missing; expected as PaddleOCR exports it")
    mode = operators["DecodeImage"].get("img_mode")
    if mode not in {"BGR", "RGB"}:
        raise config.error(f"{key}.DecodeImage.img_mode", f"received {mode!r}; expected BGR or RGB")
    if operators["DecodeImage"].get("channel_first"):
        raise config.error(f"{key}.DecodeImage.channel_first", "received true; expected false")
    shape = operators["RecResizeImg"].get("image_shape")
    if not _is_image_shape(shape):
        raise config.error(f"{key}.RecResizeImg.image_shape", f"received {shape!r}; expected [3, height, width]")
    return InputSpec(height=shape[1], base_width=shape[2], color=mode)


def _is_image_shape(shape: object) -> bool:
    return (
        isinstance(shape, list) and [type(n) for n in shape] == [int] * 3 and shape[0] == _CHANNELS and min(shape) > 0
    )


class _Config:
    """Access to ``inference.yml`` by dotted keys; every fault names the file and the key."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self.path = path
        self.content = content

    @classmethod
    def read(cls, path: Path) -> _Config:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster on 18,000 characters
        try:
            content = yaml.load(path.read_bytes(), Loader=loader)  # noqa: S506 - a safe loader either way
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ModelFormatError(path, "YAML", " ".join(str(error).split())) from error
        if not isinstance(content, dict):
            raise ModelFormatError(path, "YAML", f"received {type(content).__name__}; expected sections")
        return cls(path, content)

    def error(self, key: str, problem: str) -> ModelFormatError:
        return ModelFormatError(self.path, key, problem)

    def get(self, key: str, kind: type, *, default: Any = None) -> Any:  # noqa: ANN401 - checked against kind
        value: Any = self.content
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            value = default
        if value is None:
            raise self.error(key, f"missing; expected {kind.__name__}")
        if not isinstance(value, kind):
            raise self.error(key, f"received {type(value).__name__} {value!r:.60}; expected {kind.__name__}")
        return value
