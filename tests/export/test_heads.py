from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import pytest

from ocrhpi.export.heads import HEADS, add_head
from ocrhpi.export.masking import mask_widths
from tests.export.test_masking import conv, conv_weights, graph

if TYPE_CHECKING:
    from ocrhpi.values import Head

X = np.random.default_rng(0).normal(size=(3, 3, 48, 80)).astype(np.float32)


def model(opset: int = 17) -> onnx.ModelProto:
    """At opset 13 and 18 the axes of ReduceSum and ReduceMax turned from attributes into inputs."""
    made = graph(conv(3), weights=conv_weights(3), opset=min(opset, 17))
    return made if opset <= 17 else onnx.version_converter.convert_version(made, opset)


def run(made: onnx.ModelProto, **feeds: np.ndarray) -> dict[str, np.ndarray]:
    onnx.checker.check_model(made)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": X, **feeds}), strict=True))


@pytest.mark.parametrize("head", [head for head in HEADS if head != "full"])
@pytest.mark.parametrize("opset", [12, 17, 18])
def test_every_head_gives_the_top_one(head: Head, opset: int) -> None:
    full = run(model(opset))["probabilities"]
    reduced = run(add_head(model(opset), head))
    assert set(reduced) == {"indices", "probs"}
    assert reduced["indices"].dtype == np.int32
    np.testing.assert_array_equal(reduced["indices"], full.argmax(-1))
    np.testing.assert_allclose(reduced["probs"], full.max(-1), atol=1e-6)


@pytest.mark.parametrize("head", HEADS)
def test_a_masked_graph_keeps_its_steps(head: Head) -> None:
    outputs = run(add_head(mask_widths(model()), head), widths=np.array([80, 40, 33], np.int32))
    assert outputs["steps"].tolist() == [40, 20, 17]


def test_the_head_on_logits_needs_a_softmax() -> None:
    made = model()
    made.graph.node[-1].op_type = "Sigmoid"
    del made.graph.node[-1].attribute[:]
    with pytest.raises(ValueError, match="ends in a Softmax over the classes, got Sigmoid"):
        add_head(made, "logits")
