"""Recognizers whose right text is known: the grey level of each block of 8 columns says the class, so it can be drawn.

They come as people have them: as Paddle exports, new and old, and as ONNX files of whatever origin.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from ocrhpi.values import Pixels

__all__ = ["LETTERS", "STRIDE", "draw", "labels_of", "operators_of", "write_config", "write_onnx", "write_paddle"]

LETTERS = tuple("abcdefghij")
"""A vocabulary, for those who need no special one."""

STRIDE = 8

Operator = dict[str, Any]


def labels_of(vocabulary: Iterable[str], *, space: bool = True) -> tuple[str, ...]:
    """Return the text of every class, the blank first."""
    return ("", *vocabulary, *[" "] * space)


def draw(text: Iterable[str], labels: Sequence[str], height: int = 48) -> Pixels:
    """Return a line, 16 columns an entry, that a network of these labels reads as ``text``."""
    levels = _levels(len(labels))
    steps = [level for entry in text for level in (levels[labels.index(entry)], levels[0])]
    row = np.rint((np.array(steps) + 1) / 2 * 255).astype(np.uint8).repeat(STRIDE)
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (height, len(row), 3)))


def operators_of(resizing: str = "RecResizeImg", *others: str, color: str = "BGR", **options: object) -> list[Operator]:
    """Return ``transform_ops`` as PaddleOCR exports them: decoding, operators of training, and one that resizes."""
    decoding: Operator = {"DecodeImage": {"channel_first": False, "img_mode": color}}
    return [decoding, *({name: None} for name in others), {resizing: options}]


def write_config(
    directory: Path,
    vocabulary: Sequence[str] | None,
    *,
    shape: Sequence[int] = (3, 48, 320),
    name: object = "my_rec",
    operators: Sequence[Operator] | None = None,
    **decoding: object,
) -> Path:
    """Write ``inference.yml``.

    Args:
        directory: Where to.
        vocabulary: None writes none.
        shape: Of images.
        name: None writes no section ``Global``.
        operators: None takes the usual ones.
        **decoding: Further entries of ``PostProcess``.
    """
    if operators is None:
        operators = operators_of("RecResizeImg", "MultiLabelEncode", image_shape=list(shape))
    characters = {} if vocabulary is None else {"character_dict": list(vocabulary)}
    config = {
        **({} if name is None else {"Global": {"model_name": name}}),
        "PreProcess": {"transform_ops": list(operators)},
        "PostProcess": {"name": "CTCLabelDecode", **characters, **decoding},
    }
    path = directory / "inference.yml"
    path.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    return path


def write_paddle(
    directory: Path,
    vocabulary: Sequence[str],
    *,
    height: int = 48,
    base: int = 320,
    width: int = -1,
    batch: int = -1,
    channels: int = 3,
    space: bool = True,
    name: object = "my_rec",
    operators: Sequence[Operator] | None = None,
    config: bool = True,
    old: bool = False,
) -> Path:
    """Write a network as Paddle exports it, and return ``directory``.

    Args:
        directory: Where to.
        vocabulary: Its characters.
        height: Of its input.
        base: Width in pixels that ``inference.yml`` says.
        width: Of its input; -1: any.
        batch: Lines of a batch; -1: any number.
        channels: Of its input.
        space: Whether a class for the space follows those of the vocabulary.
        name: As for `write_config`.
        operators: As for `write_config`.
        config: Whether there is an ``inference.yml``.
        old: Whether it is in the format of Paddle 2.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import paddle
        from paddle import nn
        from paddle.pir_utils import OldIrGuard

        classes = len(labels_of(vocabulary, space=space))
        to_sequence = nn.Sequential(nn.Flatten(2), _transposing())
        network = nn.Sequential(
            nn.Conv2D(channels, 1, (height, STRIDE), stride=(height, STRIDE)),
            nn.Conv2D(1, classes, 1),
            to_sequence,
            nn.Softmax(axis=2),
        )
        for layer, (weight, bias) in zip(network, _weights(classes, channels, height), strict=False):
            layer.weight.set_value(weight)
            layer.bias.set_value(bias)
        network.eval()

        def save() -> None:
            spec = paddle.static.InputSpec(shape=[batch, channels, height, width], dtype="float32", name="x")
            paddle.jit.save(network, str(directory / "inference"), input_spec=[spec])

        if old:
            with OldIrGuard():
                save()
        else:
            save()
    if config:
        write_config(directory, vocabulary, shape=(channels, height, base), name=name, operators=operators)
    return directory


def _transposing() -> Any:
    from paddle import nn

    class ToSequence(nn.Layer):  # type: ignore[misc,unused-ignore]
        def forward(self, x: Any) -> Any:
            return x.transpose([0, 2, 1])

    return ToSequence()


def write_onnx(
    path: Path,
    vocabulary: Sequence[str],
    *,
    height: int = 48,
    width: int = -1,
    batch: int = -1,
    channels: int = 3,
    space: bool = True,
    metadata: Mapping[str, str] | None = None,
    external_data: str | None = None,
    named_dims: bool = True,
    base: int = 320,
    name: object = "my_rec",
    operators: Sequence[Operator] | None = None,
    config: bool = False,
) -> Path:
    """Write a network as an ONNX file, with names that are not ours, and return ``path``.

    Args:
        path: The file.
        vocabulary: As for `write_paddle`.
        height: As for `write_paddle`.
        width: As for `write_paddle`.
        batch: As for `write_paddle`.
        channels: As for `write_paddle`.
        space: As for `write_paddle`.
        metadata: What the file says in words.
        external_data: Name of the file beside it that is to hold the weights.
        named_dims: Whether the output says how many classes there are.
        base: As for `write_paddle`.
        name: As for `write_config`.
        operators: As for `write_config`.
        config: Whether there is an ``inference.yml`` beside it.
    """
    classes = len(labels_of(vocabulary, space=space))
    (mean, nothing), (slopes, biases) = _weights(classes, channels, height)
    weights: dict[str, npt.NDArray[Any]] = {
        "mean": mean,
        "nothing": nothing,
        "slopes": slopes,
        "biases": biases,
        "two": np.array([2], np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["image", "mean", "nothing"], ["levels"], strides=[height, STRIDE]),
        helper.make_node("Conv", ["levels", "slopes", "biases"], ["maps"]),
        helper.make_node("Squeeze", ["maps", "two"], ["columns"]),
        helper.make_node("Transpose", ["columns"], ["sequence"], perm=[0, 2, 1]),
        helper.make_node("Softmax", ["sequence"], ["softmax_0.tmp_0"], axis=2),
    ]
    rows, columns = batch if batch > 0 else "N", width if width > 0 else "W"
    steps = width // STRIDE if width > 0 else "T"
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [rows, channels, height, columns])
    output = [rows, steps, classes if named_dims else "C"]
    text = helper.make_tensor_value_info("softmax_0.tmp_0", TensorProto.FLOAT, output)
    initializers = [numpy_helper.from_array(value, key) for key, value in weights.items()]
    graph = helper.make_graph(nodes, "oracle", [image], [text], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside: dict[str, Any] = {}
    if external_data is not None:
        beside = {"save_as_external_data": True, "location": external_data, "size_threshold": 64}  # sizes stay in it
    onnx.save(model, path, **beside)
    if config:
        write_config(path.parent, vocabulary, shape=(channels, height, base), name=name, operators=operators)
    return path


def _levels(classes: int) -> npt.NDArray[np.float64]:
    """Return the mean, in [-1, 1], that stands for each class; that of the blank is 0, which padding is."""
    below = classes // 2
    return np.concatenate([[0], np.linspace(-1, -0.15, below), np.linspace(0.15, 1, classes - 1 - below)])


def _weights(classes: int, channels: int, height: int) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Return weight and bias of two convolutions: the mean of a block, and how near it is to the level of each class.

    With levels l the logits are s (2 l v - l²), which is s (v² - (v - l)²).
    """
    levels = _levels(classes)
    sharpness = 4 / np.diff(np.sort(levels)).min() ** 2
    mean = np.full((1, channels, height, STRIDE), 1 / (channels * height * STRIDE), np.float32)
    slopes = (2 * sharpness * levels).astype(np.float32).reshape(classes, 1, 1, 1)
    return [(mean, np.zeros(1, np.float32)), (slopes, (-sharpness * levels**2).astype(np.float32))]
