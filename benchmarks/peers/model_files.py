"""The model in the forms that the systems take."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import yaml

from ocrhpi.errors import OcrhpiError
from ocrhpi.export.exporter import GraphForm, write_export
from ocrhpi.loader import find_model
from ocrhpi.model import CONFIG_NAME, ONNX_NAME, load_model

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.peers.systems import Files
    from ocrhpi.model import Model


def prepare_model(model: Model, wanted: set[Files], directory: Path) -> dict[str, Path | str]:
    """Return, for each of the files ``wanted``, the model directory, or the reason why there is none.

    - ``model``: the model as it was found; ocrhpi exports it as it needs
    - ``paddle``: the same, if it has Paddle files
    - ``peer_onnx``: ONNX with the full output, a vocabulary in its metadata and in ``vocabulary.txt``, and an
      ``inference.yml``: the model's own file as it is if it came as ONNX, else our plain export, since nobody else's
      converter gives a graph for it
    """
    return {files: _prepare(model, files, directory / files) for files in sorted(wanted)}


def find(model_name: str, model_dir: Path | None) -> Model:
    """Return the model of that directory or bare ONNX file, or the official one.

    A model without an ``inference.yml`` is taken for ``model_name``: the peers want its official name, and the file
    may have another.

    Raises:
        ModelError: It cannot be found, fetched or read.
    """
    model = find_model(model_name) if model_dir is None else load_model(model_dir)
    return model if (model.path / CONFIG_NAME).is_file() else replace(model, name=model_name)


def _prepare(model: Model, files: Files, directory: Path) -> Path | str:
    try:
        if files == "peer_onnx":
            return _peer_onnx(model, directory)
        if files == "paddle" and not model.files.paddle_graph:
            return f"{model.name} came without Paddle files"
    except OcrhpiError as error:
        return f"{type(error).__name__}: {error}"
    return model.path


def _peer_onnx(model: Model, directory: Path) -> Path:
    if model.files.onnx and not model.files.paddle_graph:
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model.files.onnx, directory / ONNX_NAME)
    else:
        write_export(model, GraphForm(), directory)
    _write_config(model, directory)
    return directory


def _write_config(model: Model, directory: Path) -> None:
    """Write the ``inference.yml`` that PaddleX reads; ONNX files of RapidOCR come without."""
    spec = model.spec
    config = {
        "Global": {"model_name": model.name},
        "PreProcess": {
            "transform_ops": [
                {"DecodeImage": {"channel_first": False, "img_mode": spec.color}},
                {"RecResizeImg": {"image_shape": [3, spec.height, spec.base_width]}},
            ]
        },
        "PostProcess": {"name": "CTCLabelDecode", "character_dict": list(model.vocabulary)},
    }
    text = yaml.safe_dump(config, allow_unicode=True, sort_keys=False)
    (directory / CONFIG_NAME).write_text(text, encoding="utf-8")
    (directory / "vocabulary.txt").write_text("\n".join(model.vocabulary) + "\n", encoding="utf-8")
