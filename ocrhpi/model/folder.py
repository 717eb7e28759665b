"""A model on disk, of any age and origin -> `Model`: its files, its input, its vocabulary."""

from __future__ import annotations

import logging
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ocrhpi.data_files import read_json
from ocrhpi.errors import ModelFormatError, ModelNotFound, OptionError
from ocrhpi.model.configuration import fit_classes, is_right_to_left, read_configuration, read_dictionary
from ocrhpi.model.graph_facts import (
    DIRECTION_KEY,
    INPUT_KEY,
    NAME_KEY,
    SPACE_KEY,
    VOCABULARY_KEY,
    read_graph_facts,
    read_onnx_metadata,
    split_vocabulary,
)
from ocrhpi.model.loaded import Model, ModelFiles
from ocrhpi.model.source import ModelSource
from ocrhpi.values import InputSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrhpi.model.configuration import Configuration
    from ocrhpi.model.graph_facts import GraphFacts

CONFIG_NAME = "inference.yml"
PARAMETERS_NAME = "inference.pdiparams"
GRAPH_NAMES = ("inference.json", "inference.pdmodel")  # as Paddle itself: PIR wins where both are present
ONNX_NAME = "inference.onnx"

_PARTS_OF_A_FOLDER = (".pdmodel", ".json", ".pdiparams", ".yml")
_DICTIONARIES = ("*dict*.txt", "*keys*.txt")  # named in messages, never guessed: a folder may hold those of others
# PaddleX passes the text of exactly these models through the bidirectional algorithm.
_RIGHT_TO_LEFT = ("arabic_PP-OCRv3_mobile_rec", "arabic_PP-OCRv5_mobile_rec")

_log = logging.getLogger("ocrhpi")


def load_model(source: ModelSource | Path | str) -> Model:
    """Read a model from its files.

    Its vocabulary is that of ``character_dict_path``, else of ``inference.yml``, else of the metadata of its ONNX file;
    of a file that `ocrhpi export` made, and of a bare one, the metadata comes first. The size of its input is what its
    graph says, and where that leaves it open, what ``rec_image_shape`` or ``inference.yml`` says, else 3 x 48 x 320.

    Args:
        source: The directory of a model, a bare ONNX file, or either with what its files do not say.

    Raises:
        ModelNotFound: The directory or a file it needs is missing; the error says what to pass instead.
        ModelFormatError: A file holds something unknown; the error names the file and the key.
        OptionError: What is given contradicts the graph.
    """
    source = source if isinstance(source, ModelSource) else ModelSource(model_dir=str(source))
    path = source.path
    if not os.path.exists(path):  # noqa: PTH110 - which no name is too long for
        raise ModelNotFound(path, "a model directory or an ONNX file")
    if path.is_file() and path.suffix in _PARTS_OF_A_FOLDER:
        path = path.parent
    files = ModelFiles(onnx=path) if path.is_file() else _find_files(path)
    facts = read_graph_facts(files.paddle_graph or cast("Path", files.onnx))
    if files.onnx_alone:
        files = replace(files, onnx_data=facts.data)
    folder = path.parent if path.is_file() else path
    speaks = VOCABULARY_KEY in facts.metadata and (path.is_file() or facts.ours)
    config = None if speaks or not (folder / CONFIG_NAME).is_file() else read_configuration(folder / CONFIG_NAME)
    entries = _entries(source, config, files, path)
    space = source.use_space_char if source.use_space_char is not None else _told_space(config, facts)
    vocabulary, space = fit_classes(entries, facts.classes, path, space=space)
    name = _name(source, config, facts, path)
    model = Model(
        name=name,
        path=path,
        files=files,
        spec=_input_spec(source, config, facts, path),
        vocabulary=vocabulary,
        hpi={} if config is None else config.hpi,
        space=space,
        right_to_left=_right_to_left(source, facts, name, vocabulary),
        graph=facts,
        source=source.model_copy(update={"model_dir": str(path.absolute())}),
    )
    return model if source.input_shape is None else _stretched(model, source.input_shape)


def _find_files(directory: Path) -> ModelFiles:
    graph = next((directory / name for name in GRAPH_NAMES if (directory / name).is_file()), None)
    graph = graph or _only(directory, "*.pdmodel")
    if graph is None:
        onnx = directory / ONNX_NAME if (directory / ONNX_NAME).is_file() else _only(directory, "*.onnx")
        if onnx is None:
            raise ModelNotFound(
                directory, f"{GRAPH_NAMES[0]} or {GRAPH_NAMES[1]} with {PARAMETERS_NAME}, or {ONNX_NAME}, in it"
            )
        return ModelFiles(onnx=onnx)
    parameters = graph.with_suffix(".pdiparams")
    if not parameters.is_file():
        raise ModelNotFound(parameters, f"the parameters that belong to {graph.name}")
    onnx = directory / ONNX_NAME
    return ModelFiles(graph, parameters, onnx if onnx.is_file() else None)


def _only(directory: Path, pattern: str) -> Path | None:
    """Return the one file of a kind, whatever its name.

    Raises:
        ModelNotFound: There are several, and none has the name that would tell.
    """
    found = sorted(file for file in directory.glob(pattern) if file.is_file())
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise ModelNotFound(directory / f"inference{found[0].suffix}", f"one of {names} to be named as model_dir")
    return found[0] if found else None


def _entries(source: ModelSource, config: Configuration | None, files: ModelFiles, path: Path) -> Sequence[str]:
    """Return the vocabulary as it stands where it is found first."""
    if source.character_dict_path is not None:
        return read_dictionary(Path(source.character_dict_path).expanduser())
    if config is not None and config.vocabulary is not None:
        return config.vocabulary
    hint = "give its dictionary, a text file of one entry a line: character_dict_path=... (--character_dict_path ...)"
    folder = path.parent if path.is_file() else path
    lying = sorted({file.name for pattern in _DICTIONARIES for file in folder.glob(pattern)})
    if lying:
        hint += f"; beside it lies {', '.join(lying)}"
    if config is not None:
        raise ModelFormatError(
            config.path, "PostProcess.character_dict", f"missing; expected its vocabulary, or {hint}"
        )
    if files.paddle_graph is not None or files.onnx is None:
        raise ModelNotFound(
            folder / CONFIG_NAME, f"the configuration that PaddleOCR 3 writes when it exports a model; or {hint}"
        )
    characters = read_onnx_metadata(files.onnx).get(VOCABULARY_KEY)
    if not characters:
        problem = f"missing; expected the vocabulary, one entry a line, or an {CONFIG_NAME} beside the file; or {hint}"
        raise ModelFormatError(files.onnx, f"metadata.{VOCABULARY_KEY}", problem)
    return split_vocabulary(characters)


def _told_space(config: Configuration | None, facts: GraphFacts) -> bool | None:
    if facts.ours and SPACE_KEY in facts.metadata:
        return facts.metadata[SPACE_KEY] == "true"
    # Only where the classes do not tell: configurations are edited by hand.
    return config.use_space_char if config is not None and facts.classes is None else None


def _name(source: ModelSource, config: Configuration | None, facts: GraphFacts, path: Path) -> str:
    told = facts.metadata.get(NAME_KEY) if config is None else config.name
    return source.model_name or told or (path.stem if path.is_file() else path.absolute().name)


def _right_to_left(source: ModelSource, facts: GraphFacts, name: str, vocabulary: Sequence[str]) -> bool:
    if source.right_to_left is not None:
        return source.right_to_left
    if facts.ours and DIRECTION_KEY in facts.metadata:
        return facts.metadata[DIRECTION_KEY] == "true"
    return name in _RIGHT_TO_LEFT or is_right_to_left(vocabulary)


def _input_spec(source: ModelSource, config: Configuration | None, facts: GraphFacts, path: Path) -> InputSpec:
    """Return how lines become input: the graph decides what it fixes, and who trained the network the rest."""
    told = _told_spec(config, facts, path)
    if source.rec_image_shape is not None:
        channels, height, width = source.rec_image_shape
        told = replace(told, height=height, base_width=width, color="GRAY" if channels == 1 else told.color)
    spec = replace(told, height=facts.height or told.height, rows=facts.rows)
    if facts.channels is not None and facts.channels != spec.channels:
        spec = replace(spec, color="GRAY" if facts.channels == 1 else "BGR")
    if facts.width is not None:
        stretch = None if spec.stretch_width is None else facts.width
        spec = replace(spec, base_width=facts.width, max_width=facts.width, stretch_width=stretch)
    if (spec.channels, spec.height) != (told.channels, told.height):
        said = f"{told.channels} channels of height {told.height}"
        takes = f"takes {spec.channels} channels of height {spec.height}"
        if source.rec_image_shape is not None:
            raise OptionError("rec_image_shape", f"received {said}, but the graph of {path} {takes}")
        if config is not None:
            _log.warning("%s says %s, but its graph %s: the graph decides", config.path, said, takes)
    return _sane(replace(spec, max_width=max(spec.max_width, spec.base_width)), path)


def _told_spec(config: Configuration | None, facts: GraphFacts, path: Path) -> InputSpec:
    """Return what the configuration says, or the metadata of our export."""
    if config is None or config.shape is None:
        try:
            told = dict(read_json(facts.metadata.get(INPUT_KEY, "{}"))) if facts.ours else {}
        except (ValueError, TypeError) as error:
            raise ModelFormatError(path, f"metadata.{INPUT_KEY}", f"expected a JSON object ({error})") from error
        known = {one.name for one in fields(InputSpec)}
        return _sane(InputSpec(**{name: value for name, value in told.items() if name in known}), path)
    channels, height, width = config.shape
    spec = InputSpec(height, width, stretch_width=width if config.stretch else None)
    return replace(
        spec,
        max_width=width if config.one_width else spec.max_width,
        color="GRAY" if channels == 1 else config.color,
    )


def _sane(spec: InputSpec, path: Path) -> InputSpec:
    """Return the input of a network, which may be any number that a file says."""
    if spec.fault:
        raise ModelFormatError(path, "input", spec.fault)
    return spec


def _stretched(model: Model, shape: tuple[int, int, int]) -> Model:
    channels, height, width = shape
    spec = model.spec
    if (channels, height) != (spec.channels, spec.height) or model.graph.width not in {None, width}:
        takes = f"({spec.channels}, {spec.height}, {model.graph.width or 'width'})"
        raise OptionError("input_shape", f"received {shape}; {model.name} takes {takes}")
    return model.stretched(width)
