"""A recognizer of a few thousand weights, exported as PaddleOCR exports, so that tests of the plumbing are quick."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path

VOCABULARY = tuple("abcdefghijklmnopqrstuvwxyz")


def write_tiny_model(directory: Path, *, classes: int = len(VOCABULARY) + 2) -> Path:
    """Write a network of stride 8 with seeded random weights and ``classes`` outputs per time step."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import paddle
        from paddle import nn

        paddle.seed(0)
        network = nn.Sequential(
            nn.Conv2D(3, 8, kernel_size=(48, 8), stride=(48, 8)),
            nn.ReLU(),
            nn.Conv2D(8, classes, kernel_size=1),
            nn.Flatten(2),
            _ToSequence(),
            nn.Softmax(axis=2),
        )
        network.eval()
        spec = paddle.static.InputSpec(shape=[-1, 3, 48, -1], dtype="float32", name="x")
        directory.mkdir(parents=True, exist_ok=True)
        paddle.jit.save(network, str(directory / "inference"), input_spec=[spec])
    write_config(directory)
    return directory


def _ToSequence() -> Any:  # noqa: N802 - reads as a layer
    from paddle import nn

    class ToSequence(nn.Layer):  # type: ignore[misc,unused-ignore]
        def forward(self, x: Any) -> Any:
            return x.transpose([0, 2, 1])

    return ToSequence()


def write_config(directory: Path, **changes: object) -> Path:
    """Write an ``inference.yml`` for the tiny model; ``changes`` replace top-level sections."""
    config: dict[str, object] = {
        "Global": {"model_name": "tiny_rec"},
        "PreProcess": {
            "transform_ops": [
                {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
                {"MultiLabelEncode": {"gtc_encode": "NRTRLabelEncode"}},
                {"RecResizeImg": {"image_shape": [3, 48, 320]}},
                {"KeepKeys": {"keep_keys": ["image"]}},
            ]
        },
        "PostProcess": {"name": "CTCLabelDecode", "character_dict": list(VOCABULARY)},
    }
    config.update(changes)
    path = directory / "inference.yml"
    path.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    return path
