"""Write a recognizer as PaddleOCR exports one: ``inference.json``, ``inference.pdiparams``, ``inference.yml``."""

from __future__ import annotations

import string
import warnings
from typing import TYPE_CHECKING

import paddle
import yaml

from benchmarks.reference_models.families import Recognizer, build
from benchmarks.reference_models.weights import set_weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["export", "write_small_model"]

_STEM = "inference"
_IMAGE_SHAPE = [3, 48, 320]
# Smallest, usual and largest input that PaddleOCR writes for recognizers.
_DYNAMIC_SHAPES = ([1, 3, 48, 160], [1, 3, 48, 320], [8, 3, 48, 3200])


def write_small_model(family: str, directory: Path) -> Path:
    """Write the small relative of ``family``, with the vocabulary a-z, into ``directory`` and return it.

    It has the structure of the full network with an eighth of the channels and without repeated blocks; the same
    call gives the same weights.
    """
    vocabulary = string.ascii_lowercase
    network = build(family, scale="small", classes=len(vocabulary) + 2)
    set_weights(network)
    return export(network, directory, name=f"small_{family}_rec", vocabulary=vocabulary)


def export(network: Recognizer, directory: Path, *, name: str, vocabulary: Sequence[str]) -> Path:
    """Write ``network`` into ``directory``, which is made, and return it.

    Args:
        network: In inference mode.
        directory: Where the three files go.
        name: The model's name.
        vocabulary: Text of every class but the first (blank) and the last (space).
    """
    directory.mkdir(parents=True, exist_ok=True)
    image = paddle.static.InputSpec(shape=[-1, 3, 48, -1], dtype="float32", name="x")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paddle.jit.save(network, str(directory / _STEM), input_spec=[image])
    # The C emitter is many times faster on a long vocabulary, and absent from some builds of PyYAML.
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump(_config(name, vocabulary), Dumper=dumper, sort_keys=False, allow_unicode=True)
    (directory / f"{_STEM}.yml").write_text(text, encoding="utf-8")
    return directory


def _config(name: str, vocabulary: Sequence[str]) -> dict[str, object]:
    shapes = {"x": [list(shape) for shape in _DYNAMIC_SHAPES]}
    return {
        "Global": {"model_name": name},
        "Hpi": {
            "backend_configs": {
                "paddle_infer": {"trt_dynamic_shapes": shapes},
                "tensorrt": {"dynamic_shapes": shapes},
            }
        },
        "PreProcess": {
            "transform_ops": [
                {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
                {"MultiLabelEncode": {"gtc_encode": "NRTRLabelEncode"}},
                {"RecResizeImg": {"image_shape": _IMAGE_SHAPE}},
                {"KeepKeys": {"keep_keys": ["image", "label_ctc", "label_gtc", "length", "valid_ratio"]}},
            ]
        },
        "PostProcess": {"name": "CTCLabelDecode", "character_dict": list(vocabulary)},
    }
