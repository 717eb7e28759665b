"""The pixel input: the network sees the same bits as from `to_tensor`, and nothing beyond the content."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from ocrhpi.export.heads import add_head, take_pixels
from ocrhpi.export.masking import mask_widths
from ocrhpi.export.passes import INPUT_NAME
from ocrhpi.recognition.tensors import to_tensor
from ocrhpi.values import InputSpec, LineGeometry
from tests.export.test_masking import conv, conv_weights, graph, run

HEIGHT = 48


def identity() -> onnx.ModelProto:
    """A graph that gives back what the network would see."""
    shape = ("N", 3, HEIGHT, "W")
    made = helper.make_graph(
        [helper.make_node("Identity", [INPUT_NAME], ["seen"])],
        "identity",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("seen", TensorProto.FLOAT, shape)],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def seen(pixels: np.ndarray, contents: list[int], level: str = "ORT_ENABLE_ALL") -> np.ndarray:
    model = take_pixels(identity())
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    (found,) = session.run(None, {"pixels": pixels, "contents": np.array(contents, np.int32)})
    return np.asarray(found)


@pytest.mark.parametrize("level", ["ORT_ENABLE_ALL", "ORT_DISABLE_ALL"])
@pytest.mark.parametrize("width", [320, 321, 640, 1000])
def test_the_network_sees_the_bits_of_to_tensor(width: int, level: str) -> None:
    contents = [width, width // 2 + 1, 1]
    # Lines of the network's height are not resized; the first row of the first one has all 256 values.
    noise = np.random.default_rng(width).integers(0, 256, (3, HEIGHT, width, 3), np.uint8)
    noise[0, 0, :256] = np.arange(256, dtype=np.uint8)[:, None]
    images = [row[:, :content].copy() for row, content in zip(noise, contents, strict=True)]
    geometries = [LineGeometry(content, width) for content in contents]
    expected = to_tensor(images, geometries, InputSpec())
    assert len(np.unique(expected[0])) == 256
    # Bits, not values: padding is 0, never -0.
    np.testing.assert_array_equal(seen(noise, contents, level).view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("masked", [False, True])
def test_other_inputs_and_all_outputs_stay(masked: bool) -> None:
    def made() -> onnx.ModelProto:
        plain = graph(conv(3), weights=conv_weights(3))
        return add_head(mask_widths(plain) if masked else plain, "argmax")

    model = take_pixels(made())
    onnx.checker.check_model(model, full_check=True)
    widths = {"widths": np.array([128, 100], np.int32)} if masked else {}
    assert [item.name for item in model.graph.input] == ["pixels", "contents", *widths]
    assert list(model.graph.output) == list(made().graph.output)
    pixels = np.random.default_rng(0).integers(0, 256, (2, HEIGHT, 128, 3), np.uint8)
    contents = np.array([128, 77], np.int32)
    expected = run(made(), {"x": seen(pixels, contents.tolist()), **widths})
    for one, other in zip(run(model, {"pixels": pixels, "contents": contents, **widths}), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_graph_that_takes_pixels_already_is_refused() -> None:
    with pytest.raises(ValueError, match="first input is 'x', got 'pixels'"):
        take_pixels(take_pixels(identity()))
